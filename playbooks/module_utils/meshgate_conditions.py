"""Whether a condition of a packet filter's rule applies to packets of one kind: to all, to a few, to none, or unknown.

Conditions are as nft lists them in JSON; meshgate_iptables.py writes those of iptables so, too.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

Expression = Any
Value = Union[int, str]  # noqa: UP007 (the host's Python may be 3.9)
Values = Optional[tuple[Value, ...]]  # noqa: UP045
"""All that a field of a packet may be; None for anything."""
NO, SOME, UNKNOWN, YES = "no", "some", "unknown", "yes"
"""Whether a rule applies: to none of the packets, to a few of them, to nobody knows which, to all.

A few are those of a certain source, say. To accept these is to accept perhaps; to drop these does not matter.
"""
_VERSIONS = {"ip": 4, "ip6": 6}
_TRANSPORTS = {"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "esp", "ah", "comp"}
_FIELDS = {"saddr", "daddr", "sport", "dport", "protocol", "nexthdr"}


@dataclass(frozen=True)
class Packet:
    """Packets of one kind, on their way through these hooks."""

    hooks: tuple[str, ...]
    version: int
    protocol: str
    port: int
    iif: Values
    oif: Values = ("",)
    source: Values = None
    destination: Values = None
    state: str = "new"
    local: bool = True


@dataclass
class Point:
    """Where the packets are on their way: at a hook, with the mark that rules have made of them so far."""

    packet: Packet
    hook: str = ""
    mark: int | None = 0
    """None if nobody knows."""
    sets: Mapping[str, Sequence[Expression]] = field(default_factory=dict)
    """Those of the table, by name."""

    def holds(self, kind: str, told: Expression) -> str:
        """Whether a condition of a rule applies."""
        if kind == "holds":  # meshgate_iptables.py says so itself
            return str(told)
        if kind in {"limit", "ct count"}:  # one packet is within any limit
            return NO if told.get("inv") else YES
        if kind == "xt":  # nft does not say which condition of iptables
            return UNKNOWN
        return self.compared(told["left"], told["op"], list(self.elements(told["right"])))

    def compared(self, left: Expression, op: str, elements: Sequence[Expression]) -> str:
        """Whether what stands on the left is one of the elements, or is none of them."""
        payloads = list(_payloads(left))
        if any(told["protocol"] not in {*_VERSIONS, *_TRANSPORTS, "th"} for told in payloads):
            return UNKNOWN
        if not all(map(self._has, payloads)):
            return NO
        if any(told["field"] not in _FIELDS for told in payloads):
            return SOME  # flags, fragments, types: no ordinary packet is dropped for them
        if op not in {"==", "!=", "in"}:
            return UNKNOWN
        found = self._one_of(left, elements)
        return negated(found) if op == "!=" else found

    def _has(self, payload: Mapping[str, Any]) -> bool:
        """Whether the packet has such a header at all."""
        protocol = payload["protocol"]
        if protocol in _VERSIONS:
            return _VERSIONS[protocol] == self.packet.version
        return bool(protocol in {"th", self.packet.protocol})

    def _one_of(self, left: Expression, elements: Sequence[Expression]) -> str:
        """Whether what stands on the left is one of the elements."""
        if not isinstance(left, dict) or len(left) != 1:
            return UNKNOWN
        ((kind, told),) = left.items()
        if kind == "concat":
            tuples = [one["concat"] for one in map(_bare, elements) if isinstance(one, dict) and "concat" in one]
            return either(all_of(self._one_of(told[at], [one[at]]) for at in range(len(told))) for one in tuples)
        if kind == "fib":
            return self._fib(told, elements)
        if kind == "payload" and "field" not in told:
            return UNKNOWN
        if kind == "payload" and told["field"] in {"saddr", "daddr"}:
            address = self.packet.source if told["field"] == "saddr" else self.packet.destination
            return among(address, elements, _within)
        if kind == "payload" and told["field"] in {"dport", "sport"}:
            return among((self.packet.port,) if told["field"] == "dport" else None, elements, _same_number)
        if kind == "payload":
            return among((self.packet.protocol,), elements, _same_name)
        fields = self._fields()
        if kind in {"meta", "ct"} and (kind, told["key"]) in fields:
            return among(fields[kind, told["key"]], elements, _same_name)
        number = self.number(left)
        return UNKNOWN if number is None else among((number,), elements, _same_number)

    def _fields(self) -> dict[tuple[str, str], Values]:
        """What nft knows a packet by beside its headers."""
        packet, four, new = self.packet, self.packet.version == 4, self.packet.state == "new"
        out = packet.oif if self.hook not in {"ingress", "prerouting"} else ("",)  # before a route is looked for
        return {
            ("meta", "iifname"): packet.iif,
            ("meta", "iif"): packet.iif,
            ("meta", "oifname"): out,
            ("meta", "oif"): out,
            ("meta", "l4proto"): (packet.protocol,),
            ("meta", "nfproto"): ("ipv4" if four else "ipv6",),
            ("meta", "protocol"): ("ip" if four else "ip6",),
            ("meta", "pkttype"): ("unicast",),
            ("ct", "state"): (packet.state,),
            ("ct", "direction"): ("original" if new else "reply",),
            ("ct", "status"): ("",) if new else ("snat",),
        }

    def _fib(self, told: Expression, elements: Sequence[Expression]) -> str:
        flags = {*listed(told.get("flags", ()))}
        if told.get("result") != "type" or "daddr" not in flags:
            return SOME  # by the source, whose way back is looked for
        return among(("local" if self.packet.local else "unicast",), elements, _same_name)

    def number(self, expression: Expression) -> int | None:
        """What an expression of numbers and marks comes to; None if nobody knows."""
        if isinstance(expression, int):
            return expression
        if not isinstance(expression, dict) or len(expression) != 1:
            return None
        ((kind, told),) = expression.items()
        if kind == "meta" and told["key"] == "mark":
            return self.mark
        if kind == "ct" and told["key"] == "mark":
            return 0
        combine: dict[str, Callable[[int, int], int]] = {
            "&": lambda one, other: one & other,
            "|": lambda one, other: one | other,
            "^": lambda one, other: one ^ other,
        }
        numbers = [self.number(part) for part in told] if kind in combine else []
        if not numbers or None in numbers:
            return None
        result, *others = [number for number in numbers if number is not None]
        for number in others:
            result = combine[kind](result, number)
        return result

    def elements(self, right: Expression) -> Iterator[Expression]:
        """The elements that something is compared with: of a set, of a set by its name, or just the one."""
        if isinstance(right, str) and right.startswith("@"):
            yield from self.sets.get(right[1:], ())
        elif isinstance(right, dict) and ("set" in right or "|" in right):
            yield from listed(right.get("set", right.get("|")))
        elif isinstance(right, list):
            yield from right
        else:
            yield right


# Truths


def all_of(truths: Iterable[str]) -> str:
    """Whether all conditions hold."""
    found = {*truths}
    return next((truth for truth in (NO, UNKNOWN, SOME) if truth in found), YES)


def either(truths: Iterable[str]) -> str:
    """Whether one of the conditions holds."""
    found = {*truths}
    return next((truth for truth in (YES, UNKNOWN, SOME) if truth in found), NO)


def negated(truth: str) -> str:
    """Whether a condition does not hold. All but a few are most, and nobody knows whether ours are among them."""
    return {YES: NO, NO: YES}.get(truth, UNKNOWN)


def among(values: Values, elements: Sequence[Expression], same: Callable[[Value, Expression], bool]) -> str:
    """Whether a field is among the elements."""
    bare = list(map(_bare, elements))
    if values is None and bare:
        every = any(isinstance(one, dict) and one.get("prefix", {}).get("len") == 0 for one in bare)
        return YES if every else SOME
    hits = [any(same(value, element) for element in bare) for value in values or ("",)]
    return YES if all(hits) else UNKNOWN if any(hits) else NO


# What is compared


def _same_name(value: Value, element: Expression) -> bool:
    name = {"host": "unicast"}.get(str(element), str(element))
    return str(value).startswith(name[:-1]) if name.endswith("*") else str(value) == name


def _same_number(value: Value, element: Expression) -> bool:
    if isinstance(element, dict) and "range" in element:
        low, high = element["range"]
        return isinstance(low, int) and isinstance(high, int) and low <= int(value) <= high
    return bool(element == value)


def _within(value: Value, element: Expression) -> bool:
    address = ipaddress.ip_address(value)
    try:
        if isinstance(element, dict) and "prefix" in element:
            network = f"{element['prefix']['addr']}/{element['prefix']['len']}"
            return address in ipaddress.ip_network(network, strict=False)
        if isinstance(element, dict) and "range" in element:
            low, high = map(ipaddress.ip_address, element["range"])
            return low.version == address.version and int(low) <= int(address) <= int(high)
        return address == ipaddress.ip_address(element)
    except ValueError:  # a set of something else
        return False


def _payloads(expression: Expression) -> Iterator[Mapping[str, Any]]:
    """The headers' fields that an expression looks at."""
    for part in expression.values() if isinstance(expression, dict) else listed(expression):
        if isinstance(part, dict) and "protocol" in part and "field" in part:
            yield part
        elif isinstance(part, (dict, list)):
            yield from _payloads(part)


def _bare(element: Expression) -> Expression:
    """An element of a set without its timeout or counter."""
    return element["elem"]["val"] if isinstance(element, dict) and "elem" in element else element


def listed(one: Expression) -> Sequence[Expression]:
    """One or many, as a sequence."""
    return one if isinstance(one, (list, tuple)) else (one,)
