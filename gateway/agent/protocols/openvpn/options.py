"""What OpenVPN is told of a device's tunnel: its addresses, what goes into the tunnel, name servers.

The agent says it when a device comes in. So what changes is true for whoever comes next, and no file holds it.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from gateway.agent.pool import GATEWAY_NUMBER, Network
from gateway.agent.settings import AgentSettings

EVERYTHING = {version: ip_network(text) for version, text in ((4, "0.0.0.0/0"), (6, "::/0"))}
NO_IPV6 = "fd15:53b6:dead::2/64 fd15:53b6:dead::1"
"""OpenVPN's own example of addresses for a tunnel that swallows IPv6 (its manual, block-ipv6)."""


def options(settings: AgentSettings, number: int) -> tuple[str, ...]:
    """Lines of a device's own configuration, by its number."""
    return (*_addresses(settings.client_networks, number), *map(_pushed, _pushes(settings)))


def _addresses(networks: tuple[Network, ...], number: int) -> Iterator[str]:
    for network in networks:
        if isinstance(network, IPv4Network):
            yield f"ifconfig-push {network[number]} {network.netmask}"
        else:
            yield f"ifconfig-ipv6-push {network[number]}/{network.prefixlen} {network[GATEWAY_NUMBER]}"


def _pushes(settings: AgentSettings) -> Iterator[str]:
    own = {network.version: network for network in settings.client_networks}
    if 4 in own:
        yield f"route-gateway {own[4][GATEWAY_NUMBER]}"
    everything = [version for version, network in EVERYTHING.items() if network in settings.allowed_ips]
    if 4 in everything:
        yield "redirect-gateway def1"
    if 6 in everything:
        yield f"redirect-gateway ipv6{'' if 4 in everything else ' !ipv4'}"
        if 6 not in own:
            yield f"ifconfig-ipv6 {NO_IPV6}"
            yield "block-ipv6"
    for network in settings.allowed_ips:
        if network.version not in everything and network.version in own:
            yield _route(network)
    for address in settings.dns:
        yield f"dhcp-option {'DNS' if address.version == 4 else 'DNS6'} {address}"


def _route(network: Network) -> str:
    if isinstance(network, IPv6Network):
        return f"route-ipv6 {network}"
    return f"route {network.network_address} {network.netmask}"


def _pushed(line: str) -> str:
    return f'push "{line}"'
