"""What becomes of a packet in a host's packet filters: the rules that nft lists in JSON are walked as the kernel does.

A rule of which nobody can tell from here whether it applies makes the answer "perhaps", never a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.meshgate_conditions import (
    NO,
    SOME,
    UNKNOWN,
    YES,
    Expression,
    Packet,
    Point,
    all_of,
    listed,
)

Entries = Sequence[Mapping[str, Any]]
"""What `nft -j list ruleset` lists."""

PASSED, DROPPED, PERHAPS = "passed", "dropped", "perhaps"
OURS = {("inet", "meshgate"), ("inet", "meshgate-ipsec")}
HOOKS = ("ingress", "prerouting", "input", "forward", "postrouting")
_FAMILIES = {4: {"ip", "inet", "netdev"}, 6: {"ip6", "inet", "netdev"}}
_TERMINAL = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return"}


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
        self._packet, self._at = packet, Point(packet)
        self._table = ("", "")
        self._through: list[str] = []
        self._bases: list[Mapping[str, Any]] = []
        self._rules: dict[tuple[str, str, str], list[Sequence[Expression]]] = {}
        self._sets: dict[tuple[str, str], dict[str, Sequence[Expression]]] = {}
        dormant = {_place(e["table"], "name")[:2] for e in entries if "dormant" in e.get("table", {}).get("flags", ())}
        for entry in entries:
            for kind, thing in entry.items():
                if kind == "chain" and "hook" in thing and (thing["family"], thing["table"]) not in dormant | OURS:
                    self._bases.append(thing)
                elif kind == "rule":
                    self._rules.setdefault(_place(thing, "chain"), []).append(thing["expr"])
                elif kind in {"set", "map"}:
                    family, table, name = _place(thing, "name")
                    self._sets.setdefault((family, table), {})[name] = thing.get("elem", ())

    def base_chains(self) -> Iterator[tuple[Chain, set[str]]]:
        """Each that the packet meets, and what it may do to it."""
        order = {hook: number for number, hook in enumerate(HOOKS)}
        for base in sorted(self._bases, key=lambda base: (order.get(base["hook"], 0), base.get("prio", 0))):
            device = base.get("dev")
            elsewhere = device and self._packet.iif is not None and not {*listed(device)} & {*self._packet.iif}
            if (
                base["hook"] not in self._packet.hooks
                or base["family"] not in _FAMILIES[self._packet.version]
                or base.get("type", "filter") == "nat"  # it sees to addresses
                or elsewhere
            ):
                continue
            self._table, self._through = (base["family"], base["table"]), []
            self._at.hook, self._at.sets = base["hook"], self._sets.get(self._table, {})
            outcomes = self._chain(base["name"])
            if "pass" in outcomes:
                outcomes = outcomes - {"pass"} | {base.get("policy", "accept")}
            yield Chain(*self._table, base["name"], self._at.hook, tuple(self._through)), outcomes

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
                applies = all_of((applies, self._at.holds(kind, told)))
            elif kind == "vmap":
                outcomes = self._mapped(told) if applies != NO else outcomes
            elif kind == "mangle" and applies != NO and told["key"] == {"meta": {"key": "mark"}}:
                self._at.mark = self._at.number(told["value"]) if applies == YES else None
            elif applies != NO:
                outcomes = self._verdict(kind, told, applies) or outcomes
        return applies, outcomes

    def _verdict(self, kind: str, told: Expression, applies: str) -> set[str]:
        """What a statement does with the packet; nothing if it is no verdict."""
        if kind in _TERMINAL:
            return {_TERMINAL[kind]}
        if kind in {"jump", "goto"}:
            mark = self._at.mark
            outcomes = self._chain(told["target"])
            if applies != YES and self._at.mark != mark:
                self._at.mark = None
            return {"return" if outcome == "pass" else outcome for outcome in outcomes} if kind == "goto" else outcomes
        if kind == "queue":  # somebody else's program decides
            return {"accept", "drop"}
        if kind == "xt":
            return {"REJECT": {"drop"}, "NFQUEUE": {"accept", "drop"}}.get(told["name"], set())
        return set()

    def _mapped(self, told: Expression) -> set[str]:
        """What a verdict map does."""
        outcomes: set[str] = set()
        for key, verdict in self._at.elements(told["data"]):
            applies = YES if key == "*" else self._at.compared(told["key"], "==", [key])
            if applies == NO:
                continue
            ((kind, target),) = verdict.items()
            outcomes |= self._verdict(kind, target, applies)
            if applies == YES:
                return outcomes
        return outcomes | {"pass"}


def _place(thing: Mapping[str, Any], name: str) -> tuple[str, str, str]:
    return str(thing.get("family")), str(thing.get("table", thing.get("name"))), str(thing.get(name))
