"""The gateway's firewall: one nft table, put in place in one transaction. It filters, masquerades and clamps MSS.

It stands beside tailscaled's tables and needs none of their marks, only interfaces and networks. An `accept` ends this
table's part alone: tailscaled's own rules still apply. What clients cannot reach is a setting: blocked_networks.
"""

import json
from collections.abc import Iterable
from typing import Any

from gateway.agent.command import CommandError, run
from gateway.agent.settings import AgentSettings

TABLE = ("inet", "meshgate")

_RULES = """
add table inet meshgate
delete table inet meshgate
table inet meshgate {{
    set clients4 {{ type ipv4_addr; flags interval; auto-merge; {clients4} }}
    set clients6 {{ type ipv6_addr; flags interval; auto-merge; {clients6} }}
    set blocked4 {{ type ipv4_addr; flags interval; auto-merge; {blocked4} }}
    set blocked6 {{ type ipv6_addr; flags interval; auto-merge; {blocked6} }}
    set dns4 {{ type ipv4_addr; {dns4} }}
    set dns6 {{ type ipv6_addr; {dns6} }}

    # Only clients have clients' addresses, and they have no others.
    chain spoofed {{
        type filter hook prerouting priority raw; policy accept;
        iifname "lo" return
        iifname "{wg}" ip saddr @clients4 return
        iifname "{wg}" ip6 saddr @clients6 return
        iifname "{wg}" drop
        ip saddr @clients4 drop
        ip6 saddr @clients6 drop
    }}

    # A client that comes, or comes by another way, is a new connection to WireGuard's port.
    counter newcomers {{}}
    chain newcomers {{
        type filter hook input priority filter - 1; policy accept;
        udp dport {port} ct state new counter name "newcomers"
    }}

    # To the gateway itself: ping and, where it is the clients' name server, DNS.
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname != "{wg}" accept
        ct state established,related accept
        icmp type echo-request accept
        icmpv6 type echo-request accept
        jump name_servers
        drop
    }}

    # Through the gateway: to the mesh and to the Internet, and only answers back. Path MTU discovery fails where ICMP
    # is dropped, so TCP's MSS is clamped to the path's MTU in both directions.
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "{wg}" goto from_clients
        oifname "{wg}" goto to_clients
    }}

    chain from_clients {{
        oifname "{wg}" drop
        tcp flags syn tcp option maxseg size set rt mtu
        oifname "{mesh}" accept
        jump name_servers
        ip daddr @blocked4 drop
        ip6 daddr @blocked6 drop
    }}

    chain to_clients {{
        ct state != {{ established, related }} drop
        tcp flags syn tcp option maxseg size set rt mtu
    }}

    chain name_servers {{
        ip daddr @dns4 meta l4proto {{ tcp, udp }} th dport 53 accept
        ip6 daddr @dns6 meta l4proto {{ tcp, udp }} th dport 53 accept
    }}

    # Mesh and Internet see the gateway's addresses only.
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr @clients4 oifname != "{wg}" masquerade
        ip6 saddr @clients6 oifname != "{wg}" masquerade
    }}
}}
"""


def rules(settings: AgentSettings) -> str:
    """The whole table as nft reads it: what was there of it before is replaced in the same transaction."""
    sets = {"clients": settings.client_networks, "blocked": settings.blocked_networks, "dns": settings.dns}
    elements = {
        f"{name}{version}": _elements(str(entry) for entry in entries if entry.version == version)
        for name, entries in sets.items()
        for version in (4, 6)
    }
    return _RULES.format(wg=settings.interface, port=settings.listen_port, mesh=settings.mesh_interface, **elements)


def _elements(entries: Iterable[str]) -> str:
    listed = ", ".join(entries)
    return f"elements = {{ {listed} }};" if listed else ""


Listing = list[dict[str, dict[str, Any]]]
"""Sets, chains, rules and counters, as libnftables writes them in JSON."""
VARYING = {"handle", "packets", "bytes"}
"""What differs in a table that stands as it was put."""


async def list_table() -> Listing | None:
    """What the kernel's table holds, without counts and numbers; None when there is no table."""
    listing = await _list()
    return None if listing is None else _unvarying(listing)


async def _list() -> Listing | None:
    try:
        listed = await run("nft", "--json", "--stateless", "list", "table", *TABLE)
    except CommandError:
        return None
    return list(json.loads(listed)["nftables"])


def _unvarying(listing: Listing) -> Listing:
    return [
        {kind: {name: value for name, value in entry.items() if name not in VARYING} for kind, entry in item.items()}
        for item in listing
    ]


class Firewall:
    """Puts the table in place and tells whether it still stands as it was put."""

    def __init__(self, settings: AgentSettings) -> None:
        self._rules = rules(settings)
        self._put: Listing | None = None
        self.newcomers = 0
        """As of the last listing, a count that changes when a client comes, or comes by another way."""

    async def apply(self) -> None:
        """Put the table in place. Connections that are under way go on."""
        await run("nft", "-f", "-", stdin=self._rules)
        self._put = await list_table()

    async def stands(self) -> bool:
        """Whether the kernel's table is what `apply` put there, to the last rule."""
        listing = await _list()
        self.newcomers = sum(item["counter"]["packets"] for item in listing or [] if "counter" in item)
        return listing is not None and _unvarying(listing) == self._put

    async def restore(self) -> None:
        """Put the table in place unless it stands."""
        if not await self.stands():
            await self.apply()

    async def problems(self) -> list[str]:
        """One sentence if the table does not stand."""
        return [] if await self.stands() else ["the firewall table is not as it was put in place"]
