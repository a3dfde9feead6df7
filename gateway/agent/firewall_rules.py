"""What the gateway's firewall says: it filters, masquerades and clamps MSS.

It stands beside tailscaled's tables and needs none of their marks, only interfaces and networks. An `accept` ends this
table's part alone: tailscaled's own rules still apply. A destination is judged in this order: block_networks, the
nodes (their open ports, then the rest), allow_networks, the closed networks.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from gateway.agent.closed_networks import CLOSED_NETWORKS
from gateway.agent.pool import Network
from gateway.agent.settings import MESH_NETWORKS, AgentSettings
from gateway.agent.value_types import Address

TABLE = ("inet", "meshgate")

_RULES = """
add table inet meshgate
delete table inet meshgate
table inet meshgate {{
{sets}
    # The interfaces that clients come in by.
    set ways {{ type ifname; {ways} }}
    set node_ports {{ type inet_service; flags interval; auto-merge; {node_ports} }}

    # Only clients have clients' addresses, and they have no others.
    chain spoofed {{
        type filter hook prerouting priority raw; policy accept;
        iifname "lo" return
        iifname @ways ip saddr @clients4 return
        iifname @ways ip6 saddr @clients6 return
        iifname @ways drop
        ip saddr @clients4 drop
        ip6 saddr @clients6 drop
    }}
{newcomers}
    # To the gateway itself. tailscaled takes what is for its peerapi (an exit node's DNS) out of the mesh before the
    # kernel sees it, so the mesh needs clients' ports alone. Neighbour discovery is for links that have neighbours.
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname != "{mesh}" iifname != @ways accept
        ct state established,related accept
        icmp type echo-request accept
        icmpv6 type {{ echo-request, nd-neighbor-solicit, nd-neighbor-advert }} accept
        iifname "{mesh}" meta l4proto . th dport {{ {listeners} }} accept
        iifname @ways jump name_servers
        tcp dport {{ {http_port}, {probe_port} }} drop
        ip daddr @own4 drop
        ip6 daddr @own6 drop
        tcp dport @node_ports accept
        drop
    }}

    # Through the gateway: clients to the mesh and to the Internet, the mesh to the Internet, and only answers back.
    # What is for a client that has gone, to whom no way leads, ends here: it would leave by the default route.
    chain forward {{
        type filter hook forward priority filter; policy accept;
        ip daddr @clients4 oifname != @ways drop
        ip6 daddr @clients6 oifname != @ways drop
        iifname @ways goto from_clients
        oifname @ways goto to_clients
        iifname "{mesh}" goto outside
        oifname "{mesh}" ct state != {{ established, related }} drop
    }}

    # Path MTU discovery fails where ICMP is dropped, so TCP's MSS is clamped to the path's MTU in both directions.
    chain from_clients {{
        oifname @ways drop
        tcp flags syn tcp option maxseg size set rt mtu
        jump name_servers
        ip daddr != @allowed4 drop
        ip6 daddr != @allowed6 drop
        oifname != "{mesh}" goto outside
        ip daddr @block4 drop
        ip6 daddr @block6 drop
    }}

    chain to_clients {{
        ct state != {{ established, related }} drop
        tcp flags syn tcp option maxseg size set rt mtu
    }}

    chain outside {{
        ct status dnat goto translated
        ip daddr @block4 drop
        ip6 daddr @block6 drop
        ip daddr @nodes4 tcp dport @node_ports accept
        ip6 daddr @nodes6 tcp dport @node_ports accept
        ip daddr @nodes4 drop
        ip6 daddr @nodes6 drop
        ip daddr @allow4 accept
        ip6 daddr @allow6 accept
        ip daddr @closed4 drop
        ip6 daddr @closed6 drop
    }}

    # A machine's published port (a container's, a Service's) leads elsewhere: what was dialled counts.
    chain translated {{
        ct original ip daddr @block4 drop
        ct original ip6 daddr @block6 drop
        ct original ip daddr @nodes4 meta l4proto tcp ct original proto-dst @node_ports accept
        ct original ip6 daddr @nodes6 meta l4proto tcp ct original proto-dst @node_ports accept
        ct original ip daddr @nodes4 drop
        ct original ip6 daddr @nodes6 drop
        ct original ip daddr @allow4 accept
        ct original ip6 daddr @allow6 accept
        ct original ip daddr @closed4 drop
        ct original ip6 daddr @closed6 drop
        meta l4proto tcp ct original proto-dst @node_ports accept
        ip daddr @closed4 drop
        ip6 daddr @closed6 drop
        ip daddr @nodes4 drop
        ip6 daddr @nodes6 drop
    }}

    chain name_servers {{
        ip daddr @dns4 meta l4proto {{ tcp, udp }} th dport 53 accept
        ip6 daddr @dns6 meta l4proto {{ tcp, udp }} th dport 53 accept
    }}

    # Mesh and Internet see the gateway's addresses only.
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr @clients4 oifname != @ways masquerade
        ip6 saddr @clients6 oifname != @ways masquerade
    }}
}}
"""
_NEWCOMERS = """
    # A client that comes, or comes by another way, is a new connection to WireGuard's port.
    counter newcomers {{}}
    chain newcomers {{
        type filter hook input priority filter - 1; policy accept;
        udp dport {{ {listen_ports} }} ct state new counter name "newcomers"
    }}
"""
_TYPES = {4: "ipv4_addr", 6: "ipv6_addr"}


def rules(settings: AgentSettings) -> str:
    """The whole table as nft reads it: what was there of it before is replaced in the same transaction."""
    sets: dict[str, Sequence[Network | Address]] = {
        "clients": settings.client_networks,
        "own": (*settings.client_networks, *MESH_NETWORKS),
        "allowed": settings.allowed_ips,
        "dns": settings.dns,
        "block": settings.block_networks,
        "nodes": (*settings.node_addresses, *settings.node_networks, *_endpoint_address(settings.host)),
        "allow": settings.allow_networks,
        "closed": (*CLOSED_NETWORKS, *settings.closed_networks),
    }
    lines = [
        f"    set {name}{version} {{ type {kind}; flags interval; auto-merge; "
        f"{_elements(str(entry) for entry in entries if entry.version == version)} }}"
        for name, entries in sets.items()
        for version, kind in _TYPES.items()
    ]
    return _RULES.format(
        ways=_elements(f'"{name}"' for name in settings.client_interfaces),
        mesh=settings.mesh_interface,
        newcomers=_newcomers(settings),
        listeners=", ".join(f"{transport} . {port}" for transport, port in settings.client_ports),
        http_port=settings.http_port,
        probe_port=settings.probe_port,
        sets="\n".join(lines),
        node_ports=_elements(map(str, settings.node_ports)),
    )


def _newcomers(settings: AgentSettings) -> str:
    ports = ", ".join(str(one.listen_port) for one in settings.identities)
    return _NEWCOMERS.format(listen_ports=ports) if ports else ""


def _endpoint_address(host: str) -> tuple[Address, ...]:
    """The endpoint's address, which is a node's or a load balancer's; none when the endpoint has a name."""
    try:
        return (ip_address(host),)
    except ValueError:
        return ()


def _elements(entries: Iterable[str]) -> str:
    listed = ", ".join(entries)
    return f"elements = {{ {listed} }};" if listed else ""
