"""What a host's packet filters do to a gateway's packets: nft's, those of iptables in nft, and legacy iptables'."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils import meshgate_firewall as firewall
from ansible.module_utils import meshgate_iptables as iptables
from ansible.module_utils.meshgate_conditions import Packet
from ansible.module_utils.meshgate_firewall import Chain, Entries
from ansible.module_utils.meshgate_tools import output

Output = Callable[..., str]
"""Runs a tool and gives what it prints; nothing if it is not there."""

VERSIONS = {"ip": 4, "ip6": 6}
LEGACY_TABLES = {"ip": Path("/proc/net/ip_tables_names"), "ip6": Path("/proc/net/ip6_tables_names")}
SAVE = {"ip": "iptables-{}-save", "ip6": "ip6tables-{}-save"}
LEGACY = "iptables-legacy"
LIBNFTABLES = "import nftables; n = nftables.Nftables(); n.set_json_output(True); print(n.cmd('list ruleset')[1])"
"""firewalld brings no `nft`, but this."""


def ruleset(releases: list[Path]) -> list[dict[str, Any]] | None:
    """Everything that nft lists; None without an nft."""
    of_python = ["/usr/bin/python3", "-c", LIBNFTABLES]
    for command in (["nft"], *(["chroot", str(release), "nft"] for release in releases), of_python):
        if text := output(*command, "-j", "list", "ruleset"):
            found: list[dict[str, Any]] = json.loads(text)["nftables"]
            return found
    return None


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
