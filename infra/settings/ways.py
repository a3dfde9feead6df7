"""Whether the ways that a gateway offers (`access`) can work beside each other, and where it runs."""

import ipaddress
from collections.abc import Iterator
from typing import TYPE_CHECKING

from infra.settings.client_ports import PREVIOUS_KEY
from infra.settings.value_types import NODE_PORTS, url_port

if TYPE_CHECKING:
    from infra.settings.client_ports import ClientPort
    from infra.settings.gateway import GatewaySettings

EVERYTHING = {4: ipaddress.ip_network("0.0.0.0/0"), 6: ipaddress.ip_network("::/0")}

NAMES = {"wireguard": "WireGuard", "openvpn": "OpenVPN", "ipsec": "IPsec"}


def problems(gateway: "GatewaySettings") -> Iterator[str]:
    """What cannot work, one sentence each."""
    if not gateway.has_wireguard and (given := sorted(gateway.WIREGUARD_ONLY & gateway.model_fields_set)):
        yield f"{', '.join(given)}: set, but `access` does not have wireguard; add it there, or leave them out"
    if gateway.openvpn and "openvpn" not in gateway.access:
        yield "openvpn is set, but `access` does not have it; add it there, or leave the section out"
    if "ipsec" in gateway.access:
        yield from _ipsec(gateway)
    yield from _ports(gateway)


def _ipsec(gateway: "GatewaySettings") -> Iterator[str]:
    if gateway.target == "kubernetes" and gateway.exposure == "NodePort":
        yield (
            "access has ipsec, whose clients dial ports 500 and 4500, and no NodePort is one of them; use exposure "
            "HostPort or LoadBalancer"
        )
    for network in gateway.client_networks:
        if (everything := EVERYTHING[network.version]) not in gateway.allowed_ips:
            yield (
                f"allowed_ips lacks {everything}, and devices by IPsec send everything through the tunnel; add it, "
                "and close what they shall not reach with block_networks"
            )


def _ports(gateway: "GatewaySettings") -> Iterator[str]:
    """Every port is one socket's, where it is published and where it is listened on."""
    for at, port in enumerate(gateway.client_ports):
        if gateway.exposure == "NodePort" and gateway.target == "kubernetes" and port.published not in NODE_PORTS:
            yield (
                f"{setting(port)} {port.published} is no NodePort; use {NODE_PORTS.start}-{NODE_PORTS[-1]} or another "
                "exposure"
            )
        for other, what in _others(gateway, port.transport):
            if port.published == other:
                yield f"{setting(port)} {port.published} is also {what}; they need two ports"
        same = [before for before in gateway.client_ports[:at] if before.transport == port.transport]
        for before in same:
            if before.published == port.published:
                yield f"{setting(before)} {port.published} is also {setting(port)}; they need two ports"
            elif before.listened == port.listened:
                yield f"{setting(before)} {port.listened} is {NAMES[port.way]}'s inside the pod; choose another one"
        inside = gateway.target == "kubernetes" and port.transport == "udp"
        if inside and port.listened == gateway.tailscale_port:
            yield f"tailscale_port {port.listened} is {NAMES[port.way]}'s inside the pod; choose another one"


def setting(port: "ClientPort") -> str:
    """What the port is called in the settings."""
    if port.name == PREVIOUS_KEY:
        return "previous_key.port"
    if port.way == "wireguard":
        return "endpoint port"
    return f"openvpn.{port.transport}_port" if port.way == "openvpn" else "ipsec's port"


def _others(gateway: "GatewaySettings", transport: str) -> list[tuple[int | None, str]]:
    """The ports of a transport that no client dials."""
    if transport == "udp":
        return [(gateway.tailscale_port, "tailscale_port")]
    if gateway.target == "kubernetes":
        return []
    return [(gateway.probe_port, "probe_port"), (url_port(gateway.peers_url), "the port of peers_url")]
