"""What becomes of a packet in a host's packet filters: the rules that nft lists in JSON are walked as the kernel does.

A rule of which nobody can tell from here whether it applies makes the answer "perhaps", never a guess.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

Expression = Any
Value = Union[int, str]  # noqa: UP007 (the host's Python may be 3.9)
Values = Optional[tuple[Value, ...]]  # noqa: UP045
"""All that a field of a packet may be; None for anything."""
Entries = Sequence[Mapping[str, Any]]
"""What `nft -j list ruleset` lists."""

NO, SOME, UNKNOWN, YES = "no", "some", "unknown", "yes"
"""Whether a rule applies: to none of the packets, to a few of them, to nobody knows which, to all.

A few are those of a certain source, say. To accept these is to accept perhaps; to drop these does not matter.
"""
PASSED, DROPPED, PERHAPS = "passed", "dropped", "perhaps"
OURS = {("inet", "meshgate"), ("inet", "meshgate-ipsec")}
HOOKS = ("ingress", "prerouting", "input", "forward", "postrouting")
_FAMILIES = {4: {"ip", "inet", "netdev"}, 6: {"ip6", "inet", "netdev"}}
_VERSIONS = {"ip": 4, "ip6": 6}
_TRANSPORTS = {"tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "igmp", "esp", "ah", "comp"}
_FIELDS = {"saddr", "daddr", "sport", "dport", "protocol", "nexthdr"}
_TERMINAL = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}


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


@dataclass(frozen=True)
class Chain:
    """A base chain that drops a packet, certainly or perhaps, and the chains that led to it."""

    family: str
    table: str
    name: str
    hook: str
    through: tuple[str, ...]


@dataclass(frozen=True)
class Fate:
    """What becomes of a packet, and the base chains that are to blame."""

    outcome: str
    chains: tuple[Chain, ...] = ()


def fate(entries: Entries, packet: Packet) -> Fate:
    """Walk through every base chain that the packet meets: one that drops it is enough."""
    walk = _Walk(entries, packet)
    blamed = {chain: outcomes for chain, outcomes in walk.base_chains() if "drop" in outcomes}
    surely = tuple(chain for chain, outcomes in blamed.items() if outcomes == {"drop"})
    if surely:
        return Fate(DROPPED, surely)
    return Fate(PERHAPS, tuple(blamed)) if blamed else Fate(PASSED)


class _Walk:
    """One packet's way. Its mark is what rules have made of it so far."""

    def __init__(self, entries: Entries, packet: Packet) -> None:
        self.packet = packet
        self._mark: int | None = 0
        self._hook = ""
        self._table = ("", "")
        self._through: list[str] = []
        self._bases: list[Mapping[str, Any]] = []
        self._rules: dict[tuple[str, str, str], list[Sequence[Expression]]] = {}
        self._sets: dict[tuple[str, str, str], Sequence[Expression]] = {}
        dormant = {_place(e["table"], "name")[:2] for e in entries if "dormant" in e.get("table", {}).get("flags", ())}
        for entry in entries:
            for kind, thing in entry.items():
                if kind == "chain" and "hook" in thing and (thing["family"], thing["table"]) not in dormant | OURS:
                    self._bases.append(thing)
                elif kind == "rule":
                    self._rules.setdefault(_place(thing, "chain"), []).append(thing["expr"])
                elif kind in {"set", "map"}:
                    self._sets[_place(thing, "name")] = thing.get("elem", ())

    def base_chains(self) -> Iterator[tuple[Chain, set[str]]]:
        """Each that the packet meets, and what it may do to it."""
        order = {hook: number for number, hook in enumerate(HOOKS)}
        for base in sorted(self._bases, key=lambda base: (order.get(base["hook"], 0), base.get("prio", 0))):
            device = base.get("dev")
            elsewhere = device and self.packet.iif is not None and not {*_listed(device)} & {*self.packet.iif}
            if (
                base["hook"] not in self.packet.hooks
                or base["family"] not in _FAMILIES[self.packet.version]
                or base.get("type", "filter") == "nat"  # it sees to addresses
                or elsewhere
            ):
                continue
            self._hook, self._table, self._through = base["hook"], (base["family"], base["table"]), []
            outcomes = self._chain(base["name"])
            if "pass" in outcomes:
                outcomes = outcomes - {"pass"} | {base.get("policy", "accept")}
            yield Chain(*self._table, base["name"], self._hook, tuple(self._through)), outcomes

    def _chain(self, name: str) -> set[str]:
        """What a chain may do: accept, drop, or let it pass to what comes next."""
        self._through.append(name)
        possible: set[str] = set()
        for rule in self._rules.get((*self._table, name), ()):
            try:
                applies, outcomes = self._rule(rule)
            except (AttributeError, LookupError, TypeError, ValueError):  # nft has words that are not known here
                applies, outcomes = UNKNOWN, {"accept", "drop"}
            if applies == NO:
                continue
            if applies == SOME:
                outcomes = outcomes - {"drop"}
            possible |= {"pass" if outcome == "return" else outcome for outcome in outcomes - {"pass"}}
            if applies == YES and "pass" not in outcomes:
                return possible
        return possible | {"pass"}

    def _rule(self, rule: Sequence[Expression]) -> tuple[str, set[str]]:
        """Whether a rule applies, and what it may do then."""
        applies, outcomes = YES, {"pass"}
        for statement in rule:
            ((kind, told),) = statement.items()
            if kind == "xt" and not told:  # an old nft does not even say whether it is a condition
                applies, outcomes = all_of((applies, UNKNOWN)), {"accept", "drop"}
            elif kind in {"match", "holds", "limit", "ct count"} or (kind == "xt" and told["type"] == "match"):
                applies = all_of((applies, self._holds(kind, told)))
            elif kind == "vmap":
                outcomes = self._mapped(told) if applies != NO else outcomes
            elif kind == "mangle" and applies != NO and told["key"] == {"meta": {"key": "mark"}}:
                self._mark = self._number(told["value"]) if applies == YES else None
            elif applies != NO:
                outcomes = self._verdict(kind, told, applies) or outcomes
        return applies, outcomes

    def _verdict(self, kind: str, told: Expression, applies: str) -> set[str]:
        """What a statement does with the packet; nothing if it is no verdict."""
        if kind in _TERMINAL:
            return {_TERMINAL[kind]}
        if kind in {"jump", "goto"}:
            mark = self._mark
            outcomes = self._chain(told["target"])
            if applies != YES and self._mark != mark:
                self._mark = None
            return {"return" if outcome == "pass" else outcome for outcome in outcomes} if kind == "goto" else outcomes
        if kind == "queue":  # somebody else's program decides
            return {"accept", "drop"}
        if kind == "xt":
            return {"REJECT": {"drop"}, "NFQUEUE": {"accept", "drop"}}.get(told["name"], set())
        return set()

    def _mapped(self, told: Expression) -> set[str]:
        """What a verdict map does."""
        outcomes: set[str] = set()
        for key, verdict in self._elements(told["data"]):
            applies = YES if key == "*" else self._compared(told["key"], "==", [key])
            if applies == NO:
                continue
            ((kind, target),) = verdict.items()
            outcomes |= self._verdict(kind, target, applies)
            if applies == YES:
                return outcomes
        return outcomes | {"pass"}

    # Does it apply?

    def _holds(self, kind: str, told: Expression) -> str:
        if kind == "holds":  # meshgate_iptables.py says so itself
            return str(told)
        if kind in {"limit", "ct count"}:  # one packet is within any limit
            return NO if told.get("inv") else YES
        if kind == "xt":  # nft does not say which condition of iptables
            return UNKNOWN
        return self._compared(told["left"], told["op"], list(self._elements(told["right"])))

    def _compared(self, left: Expression, op: str, elements: Sequence[Expression]) -> str:
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
        number = self._number(left)
        return UNKNOWN if number is None else among((number,), elements, _same_number)

    def _fields(self) -> dict[tuple[str, str], Values]:
        """What nft knows a packet by beside its headers."""
        packet, four, new = self.packet, self.packet.version == 4, self.packet.state == "new"
        out = packet.oif if self._hook not in {"ingress", "prerouting"} else ("",)  # before a route is looked for
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
        flags = {*_listed(told.get("flags", ()))}
        if told.get("result") != "type" or "daddr" not in flags:
            return SOME  # by the source, whose way back is looked for
        return among(("local" if self.packet.local else "unicast",), elements, _same_name)

    def _number(self, expression: Expression) -> int | None:
        """What an expression of numbers and marks comes to; None if nobody knows."""
        if isinstance(expression, int):
            return expression
        if not isinstance(expression, dict) or len(expression) != 1:
            return None
        ((kind, told),) = expression.items()
        if kind == "meta" and told["key"] == "mark":
            return self._mark
        if kind == "ct" and told["key"] == "mark":
            return 0
        combine: dict[str, Callable[[int, int], int]] = {
            "&": lambda one, other: one & other,
            "|": lambda one, other: one | other,
            "^": lambda one, other: one ^ other,
        }
        numbers = [self._number(part) for part in told] if kind in combine else []
        if not numbers or None in numbers:
            return None
        result, *others = [number for number in numbers if number is not None]
        for number in others:
            result = combine[kind](result, number)
        return result

    def _elements(self, right: Expression) -> Iterator[Expression]:
        """The elements that something is compared with: of a set, of a set by its name, or just the one."""
        if isinstance(right, str) and right.startswith("@"):
            yield from self._sets.get((*self._table, right[1:]), ())
        elif isinstance(right, dict) and ("set" in right or "|" in right):
            yield from _listed(right.get("set", right.get("|")))
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
    for part in expression.values() if isinstance(expression, dict) else _listed(expression):
        if isinstance(part, dict) and "protocol" in part and "field" in part:
            yield part
        elif isinstance(part, (dict, list)):
            yield from _payloads(part)


def _bare(element: Expression) -> Expression:
    """An element of a set without its timeout or counter."""
    return element["elem"]["val"] if isinstance(element, dict) and "elem" in element else element


def _listed(one: Expression) -> Sequence[Expression]:
    return one if isinstance(one, (list, tuple)) else (one,)


def _place(thing: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    return str(thing.get("family")), str(thing.get("table", thing.get("name"))), str(thing.get(name))
