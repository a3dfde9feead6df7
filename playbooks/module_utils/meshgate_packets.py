"""The packets that a gateway lives on, as a host sees them: where they come in and go out, and what becomes of each."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible.module_utils import meshgate_filters as filters
from ansible.module_utils.meshgate_conditions import Packet
from ansible.module_utils.meshgate_firewall import Entries
from ansible.module_utils.meshgate_network import default_routes, dialled
from ansible.module_utils.meshgate_tools import listed

Links = Mapping[str, Sequence[str]]
"""The addresses of each interface."""

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104
MESH_INTERFACE = "tailscale0"


def packets(
    sets: dict[str, Entries], interfaces: list[str], arriving: list[dict[str, Any]], networks: list[str]
) -> list[dict[str, Any]]:
    """What becomes of clients' packets: of new ones to the ports, of what is forwarded, and of answers."""
    links = {
        link["ifname"]: [address["local"] for address in link.get("addr_info", ()) if "local" in address]
        for link in listed("address", "show")
    }
    routes = default_routes()
    choice = len(links.keys() - {"lo", MESH_INTERFACE, *interfaces}) > 1
    addresses = {host: dialled(host, choice) for host in {wanted["address"] for wanted in arriving}}
    found = [
        {**wanted, **filters.judged(sets, packet)}
        for wanted in arriving
        for packet in arrivals({**wanted, "addresses": addresses[wanted["address"]]}, links, routes)
    ]
    # tailscaled opens iptables for its own interface, so before that is there nothing can be said of it.
    mesh = [[MESH_INTERFACE]] if MESH_INTERFACE in links else []
    for network in networks:
        for outlets in (routes[ipaddress.ip_network(network).version], *mesh):
            for way in interfaces if outlets else ():
                for packet in passages(way, outlets, network):
                    ends = {"from": list(packet.iif or ()), "to": list(packet.oif or ())}
                    found.append(ends | filters.judged(sets, packet))
    return found


def arrivals(wanted: Mapping[str, Any], links: Links, routes: Mapping[int, Sequence[str]]) -> Iterator[Packet]:
    """New packets to a port, by each IP version by which they can come.

    `addresses` are those that are dialled: their interfaces count. Where there are none of this host's (it is behind a
    NAT, or nobody knows), clients come where the default routes lead.
    """
    dialled = wanted["addresses"]
    anywhere = bool({*dialled} & EVERYWHERE)
    for version in {_version(one) for one in dialled} if dialled and not anywhere else (4, 6):
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
