"""What iptables-save prints, as nft would list it in JSON: meshgate_firewall.py judges both alike."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.meshgate_conditions import NO, SOME, UNKNOWN, YES, Expression

PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "REJECT": "reject", "RETURN": "return", "NFQUEUE": "queue"}
_INTERFACES = {"-i": "iifname", "-o": "oifname"}
_MARKS = {"--mark": "meta", "--connmark": "ct"}
"""Of the modules mark and connmark."""
_STATES = {"--ctstate", "--state"}
_OF_EVERY_PACKET = {
    *("-m", "--comment", "--limit", "--limit-burst", "--loose", "--validmark"),
    *("--set", "--name", "--mask", "--rsource", "--seconds", "--hitcount"),
    *("--hashlimit-upto", "--hashlimit-burst", "--hashlimit-mode", "--hashlimit-name", "--hashlimit-srcmask"),
    *("--hashlimit-htable-expire", "--connlimit-upto", "--connlimit-mask", "--connlimit-saddr"),
}
"""Conditions, and parts of conditions, that an ordinary packet meets."""
_OF_A_FEW = {
    *("--sport", "--sports", "--src-type", "--src-range", "--mac-source", "--source-country"),
    *("--tcp-flags", "--syn", "--icmp-type", "--icmpv6-type", "-f", "--update", "--rcheck", "--invert"),
}
"""By the source, or by what no ordinary packet has."""
_OF_NONE = {"--hashlimit-above", "--connlimit-above"}


def listed(saved: str, family: str) -> list[dict[str, Any]]:
    """The chains and rules of every table; `family` is ip or ip6."""
    found: list[dict[str, Any]] = []
    table: str = ""
    chains: set[str] = set()
    for line in saved.splitlines():
        if line.startswith("*"):
            table, chains = line[1:], set()
            found.append({"table": {"family": family, "name": table}})
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            chains.add(name)
            kind = "nat" if table == "nat" else "filter"
            hooked = {"type": kind, "hook": name.lower(), "prio": PRIORITIES.get(table, 0), "policy": policy.lower()}
            place = {"family": family, "table": table, "name": name}
            found.append({"chain": {**place, **(hooked if policy != "-" else {})}})
        elif line.startswith("-A "):
            chain, *words = shlex.split(line)[1:]
            rule = {"family": family, "table": table, "chain": chain, "expr": expressions(words, family, chains)}
            found.append({"rule": rule})
    return found


def expressions(words: list[str], family: str, chains: set[str]) -> list[Expression]:
    """The statements of a rule."""
    conditions: list[Expression] = []
    verdict: list[Expression] = []
    module, targeted = "", False
    for negated, option, arguments in options(words):
        value = arguments[0] if arguments else ""
        if option in {"-j", "-g"}:
            targeted, verdict = True, _verdict(option, value, chains)
        elif option == "--set-xmark":
            verdict = [_marked(value)]
        elif not targeted:
            module = value if option == "-m" else module
            conditions += _condition(negated, f"--{module}" if option == "--mark" else option, arguments, family)
    return conditions + verdict


def options(words: list[str]) -> Iterator[tuple[bool, str, list[str]]]:
    """Each option: whether it is negated, its name, its arguments."""
    at = 0
    while at < len(words):
        negated = words[at] == "!"
        option, at = words[at + negated], at + negated + 1
        arguments = []
        while at < len(words) and not (words[at].startswith("-") or words[at] == "!"):
            arguments.append(words[at])
            at += 1
        yield negated, option, arguments


def _verdict(option: str, target: str, chains: set[str]) -> list[Expression]:
    """What the target does; nothing if it logs, counts or changes something else."""
    if target in chains:
        return [{"goto" if option == "-g" else "jump": {"target": target}}]
    return [{_VERDICTS[target]: None}] if target in _VERDICTS else []


def _marked(value: str) -> Expression:
    """`--set-xmark VALUE/MASK`."""
    mark, mask = _masked(value)
    kept = {"&": [{"meta": {"key": "mark"}}, mask ^ 0xFFFFFFFF]}
    return {"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"^": [kept, mark]}}}


def _masked(value: str) -> tuple[int, int]:
    mark, _, mask = value.partition("/")
    return int(mark, 0), int(mask or "0xffffffff", 0)


def _condition(negated: bool, option: str, arguments: list[str], family: str) -> list[Expression]:
    op, value = "!=" if negated else "==", arguments[0] if arguments else ""
    if option in {"-s", "-d"}:
        return [_match(op, _header(family, "saddr" if option == "-s" else "daddr"), _network(value))]
    if option in _INTERFACES:
        return [_match(op, {"meta": {"key": _INTERFACES[option]}}, value.replace("+", "*"))]
    if option == "-p":
        return [_match(op, {"meta": {"key": "l4proto"}}, {"ipv6-icmp": "icmpv6"}.get(value, value))]
    if option in {"--dport", "--dports"}:
        return [_match(op, _header("th", "dport"), {"set": list(map(_ports, value.split(",")))})]
    if option in _STATES:
        return list(_states(op, value.lower().split(",")))
    if option == "--dst-type":
        return [_match(op, {"fib": {"result": "type", "flags": ["daddr"]}}, value.lower())]
    if option == "--pkt-type":
        return [_match(op, {"meta": {"key": "pkttype"}}, value)]
    if option in _MARKS:
        mark, mask = _masked(value)
        return [_match(op, {"&": [{_MARKS[option]: {"key": "mark"}}, mask]}, mark)]
    by_source = option == "--match-set" and not negated and "dst" not in arguments[-1]
    return [{"holds": SOME if by_source else _applies(negated, option)}]


def _applies(negated: bool, option: str) -> Expression:
    if option in _OF_A_FEW:
        return SOME
    if option in _OF_EVERY_PACKET:
        return NO if negated else YES
    return (YES if negated else NO) if option in _OF_NONE else UNKNOWN


def _states(op: str, states: list[str]) -> Iterator[Expression]:
    """`--ctstate` has DNAT and SNAT, too, which nft calls a status."""
    statuses = [state for state in states if state in {"dnat", "snat"}]
    if statuses and len(statuses) < len(states):
        yield {"holds": UNKNOWN}
    else:
        yield _match(op, {"ct": {"key": "status" if statuses else "state"}}, states)


def _match(op: str, left: Expression, right: Expression) -> Expression:
    return {"match": {"op": op, "left": left, "right": right}}


def _header(protocol: str, field: str) -> Expression:
    return {"payload": {"protocol": protocol, "field": field}}


def _network(value: str) -> Expression:
    address, _, length = value.partition("/")
    return {"prefix": {"addr": address, "len": int(length)}} if length.isdecimal() else value


def _ports(value: str) -> Expression:
    low, _, high = value.partition(":")
    return {"range": [int(low), int(high)]} if high else int(low)
