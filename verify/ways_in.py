"""Each way in of a gateway, from where this runs, as a client finds it."""

import socket
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from infra import curve25519
from infra.settings.gateway import GatewaySettings
from infra.settings.value_types import split_endpoint
from verify import ike_probe, wireguard_handshake
from verify.inside import Program
from verify.parts import Part, judged

DEVICE_TTL_S = 60
"""The device of a look leaves by itself, should the look be killed."""
CONNECT_S = 5.0


def parts(gateway: GatewaySettings, outputs: Mapping[str, Any], agent: Program | None) -> Iterator[Part]:
    """A part for each port that clients dial, as far as it answers strangers; `agent` can let in one device more."""
    host, port = split_endpoint(gateway.endpoint)
    for one in gateway.client_ports:
        look: Callable[[], str] | None = None
        match one.way, one.transport:
            case "wireguard", _ if agent:
                look = partial(_handshake, (host, port), outputs["server_public_key"], agent)
            case "openvpn", "tcp":
                look = partial(_connects, host, one.published)
            case "ipsec", _ if one.published == ike_probe.PORT:
                look = partial(_speaks_ike, host)
        if look:
            yield judged(f"{one.way} at {one.transport}:{host}:{one.published}, from here", look)


def _handshake(endpoint: tuple[str, int], server_public_key: str, agent: Program) -> str:
    private_key = curve25519.generate_private_key()
    public_key = curve25519.public_key(private_key)
    agent.call("POST", "/v1/peers", {"public_key": public_key, "name": "verify", "ttl_seconds": DEVICE_TTL_S})
    try:
        if wireguard_handshake.is_answered(endpoint, private_key, server_public_key):
            return ""
    finally:
        agent.call("DELETE", f"/v1/peers/{public_key.replace('+', '-').replace('/', '_')}")
    return (
        "no handshake: what is between here and the gateway lets no UDP to that port through, or the stack's "
        "server_public_key is not the key of what listens there"
    )


def _connects(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        return f"nobody takes a connection ({error}): open the port on the way to the gateway"
    return ""


def _speaks_ike(host: str) -> str:
    if ike_probe.is_answered(host):
        return ""
    return "nobody speaks IKE there: open the UDP ports 500 and 4500 on the way to the gateway"
