"""Why Headscale has no server key, read from the running server, and which key is the right one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.headscale.client import Headscale
from infra.curve25519 import node_key_to_wireguard


@dataclass(frozen=True)
class NodeKey:
    """A node's key, in both its forms."""

    name: str
    node_key: str
    wireguard_key: str
    online: bool
    exit_node: bool


@dataclass(frozen=True)
class ServerKeys:
    """All that a running server calls a key."""

    url: str
    noise_key: str
    described_keys: list[str] | None
    """The fields of its own API's description; None if it serves none."""
    mentions_wireguard: bool
    nodes: list[NodeKey]


def look(headscale: Headscale) -> ServerKeys:
    """The keys of a server."""
    description = headscale.api_description()
    return ServerKeys(
        url=headscale.url,
        noise_key=headscale.noise_key(),
        described_keys=None if description is None else _key_fields(description),
        mentions_wireguard="wireguard" in str(description).lower(),
        nodes=[
            NodeKey(node.given_name, node.node_key, node_key_to_wireguard(node.node_key), node.online, node.is_exit)
            for node in headscale.nodes()
        ],
    )


def report(seen: ServerKeys, gateway_keys: Mapping[str, str]) -> list[str]:
    """What a person reads; `gateway_keys` are gateways' own by their names."""
    word = "has the word WireGuard in it" if seen.mentions_wireguard else "does not have the word WireGuard in it"
    described = seen.described_keys
    return [
        f"Headscale at {seen.url} has no WireGuard key of its own.",
        "",
        "Its own key is of the control protocol (Noise). By it nodes know the server, no tunnel ends there:",
        f"  {seen.noise_key}",
        "",
        f"Its own description of its API {word}. What is called a key there:",
        f"  {'(the server serves no description)' if described is None else ', '.join(described)}",
        "",
        f"The keys of its nodes ({len(seen.nodes)}) are WireGuard's. But tailscaled answers only the peers that",
        "Headscale tells it of: a native client that is given one of these never gets a handshake.",
        *_table({node.name: f"{node.wireguard_key}  {node.node_key[:16]}…" for node in seen.nodes}),
        "",
        "The right key for native clients is that of a gateway's own WireGuard interface:",
        *(
            _table(gateway_keys)
            or ["  `pulumi stack output server_public_key`, or `wg show` on the gateway, tells it."]
        ),
    ]


def _table(rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:{width}}  {value}" for name, value in rows.items()]


def _key_fields(description: dict[str, Any]) -> list[str]:
    objects = description.get("definitions", {}).values()
    fields = {name for one in objects for name in one.get("properties", {})}
    return sorted(name for name in fields if name.lower().endswith("key"))
