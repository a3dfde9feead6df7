"""What a host's packet filters do to a gateway's packets: nft's, those of iptables in nft, and legacy iptables'."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.module_utils import meshgate_firewall as firewall
from ansible.module_utils import meshgate_iptables as iptables
from ansible.module_utils.meshgate_conditions import Packet
from ansible.module_utils.meshgate_firewall import Chain, Entries

Output = Callable[..., str]
"""Runs a tool and gives what it prints; nothing if it is not there."""
Links = Mapping[str, Sequence[str]]
"""The addresses of each interface."""

VERSIONS = {"ip": 4, "ip6": 6}
LEGACY_TABLES = {"ip": Path("/proc/net/ip_tables_names"), "ip6": Path("/proc/net/ip6_tables_names")}
SAVE = {"ip": "iptables-{}-save", "ip6": "ip6tables-{}-save"}
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104
LEGACY, UNREADABLE = "iptables-legacy", "unreadable"


def rulesets(listing: Entries | None, output: Output) -> tuple[dict[str, Entries], list[str]]:
    """Every set of rules, by who keeps it, and the tables of legacy iptables that nothing here can read.

    Without an nft there is what iptables says of its own tables in nft.
    """
    found: dict[str, Entries] = {"nft": _in_nft(listing, output)}
    unread = []
    for family, names in LEGACY_TABLES.items():
        loaded = names.read_text().split() if names.exists() else []
        told = iptables.listed(output(SAVE[family].format("legacy")), family) if loaded else []
        found[f"{LEGACY} {family}"] = told
        unread += [] if told else [f"{family} {table}" for table in loaded]
    return found, unread


def _in_nft(listing: Entries | None, output: Output) -> Entries:
    """The listing, with iptables' own words for those of its tables whose conditions nft does not tell."""
    entries = list(listing or ())
    for family in VERSIONS:
        vague = {one["rule"]["table"] for one in entries if _vague(one.get("rule", {}), family)}
        if vague or listing is None:
            told = iptables.listed(output(SAVE[family].format("nft")), family)
            known = {table for one in told if (table := one.get("table", {}).get("name")) in vague or listing is None}
            entries = [one for one in entries if not _of(one, family, known)]
            entries += [one for one in told if _of(one, family, known)]
    return entries


def _vague(rule: Mapping[str, Any], family: str) -> bool:
    return rule.get("family") == family and any("xt" in statement for statement in rule["expr"])


def _of(entry: Mapping[str, Any], family: str, tables: set[str]) -> bool:
    ((kind, thing),) = entry.items()
    return thing.get("family") == family and thing.get("name" if kind == "table" else "table") in tables


def judged(sets: Mapping[str, Entries], packet: Packet) -> dict[str, Any]:
    """What becomes of a packet, and which chains are to blame."""
    fates = {name: firewall.fate(entries, packet) for name, entries in sets.items()}
    outcomes = {fate.outcome for fate in fates.values()}
    outcome = next((one for one in (firewall.DROPPED, firewall.PERHAPS) if one in outcomes), firewall.PASSED)
    chains = [blamed(name, chain) for name, fate in fates.items() if fate.outcome == outcome for chain in fate.chains]
    return {"version": packet.version, "outcome": outcome, "chains": chains}


def blamed(ruleset: str, chain: Chain) -> dict[str, str]:
    """A chain, who rules it, and firewalld's zone."""
    zones = (re.fullmatch(r"filter_(?:IN|FWD[IO]?)_(?!policy_|POLICIES)(\w+)", one) for one in chain.through)
    return {
        "family": chain.family,
        "table": chain.table,
        "chain": chain.name,
        "by": ruler(ruleset, chain),
        "zone": next((zone.group(1) for zone in zones if zone), ""),
    }


def ruler(ruleset: str, chain: Chain) -> str:
    """Whose commands open a chain."""
    if chain.table == "firewalld":
        return "firewalld"
    if any(one.startswith(("ufw-", "ufw6-")) for one in chain.through):
        return "ufw"
    if ruleset != "nft":
        return LEGACY
    in_iptables = chain.family in VERSIONS and chain.name.isupper() and chain.table in iptables.PRIORITIES
    return "iptables" if in_iptables else "nft"


def arrivals(wanted: Mapping[str, Any], links: Links, routes: Mapping[int, Sequence[str]]) -> Iterator[Packet]:
    """New packets to a port, by each IP version by which they can come.

    `addresses` are those that are dialled: their interfaces count. Where there are none of this host's (it is behind a
    NAT, or nobody knows), clients come where the default routes lead.
    """
    dialled = wanted["addresses"]
    anywhere = bool({*dialled} & EVERYWHERE)
    for version in {_version(one) for one in dialled} if dialled and not anywhere else VERSIONS.values():
        here = [name for name, addresses in links.items() if {*addresses} & {*_of_version(dialled, version)}]
        devices = here or routes[version]
        own = {one for name in devices for one in _of_version(links.get(name, ()), version)}
        if devices:
            yield Packet(
                hooks=("ingress", "prerouting", "input"),
                version=version,
                protocol=wanted["protocol"],
                port=wanted["port"],
                iif=None if anywhere else tuple(devices),
                destination=None if anywhere else tuple(sorted(own & {*dialled} or own)) or None,
            )


def passages(way: str, outlets: Sequence[str], network: str) -> tuple[Packet, Packet]:
    """What a client of a network sends on by the outlets, and the answers to it: HTTPS stands for all."""
    parsed = ipaddress.ip_network(network)
    client = (str(parsed.network_address),)
    out = Packet(
        hooks=("ingress", "prerouting", "forward", "postrouting"),
        version=parsed.version,
        protocol="tcp",
        port=443,
        iif=(way,),
        oif=tuple(outlets),
        source=client,
        local=False,
    )
    back = replace(out, iif=out.oif, oif=(way,), port=50000, source=None, destination=client, state="established")
    return out, back


def _version(address: str) -> int:
    return ipaddress.ip_address(address).version


def _of_version(addresses: Sequence[str], version: int) -> list[str]:
    return [one for one in addresses if _version(one) == version and not ipaddress.ip_address(one).is_link_local]
