"""Each way in of a gateway, from where this runs, as a client finds it."""

import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from infra import curve25519
from infra.settings.client_ports import PREVIOUS_KEY, ClientPort
from infra.settings.gateway import GatewaySettings
from infra.settings.value_types import split_endpoint
from verify import ike_probe, openvpn_reset, wireguard_handshake
from verify.inside import Program
from verify.parts import Part, judged

DEVICE_TTL_S = 60
"""The device of a look leaves by itself, should the look be killed."""
CONNECT_S = 5.0
_NO_UDP = "what is between here and the gateway lets no UDP to that port through"


def parts(gateway: GatewaySettings, outputs: Mapping[str, Any], agent: Program | None) -> Iterator[Part]:
    """A part for each port that clients dial; `agent` lets a device in where strangers get no answer."""
    host, _ = split_endpoint(gateway.endpoint)
    shown = gateway.endpoint.rpartition(":")[0]
    for one in gateway.client_ports:
        look: Callable[[], str] | None = None
        match one.way, one.transport:
            case "wireguard", _ if agent:
                look = partial(_handshake, (host, one.published), _key(one, outputs), agent)
            case "openvpn", "udp" if agent:
                look = partial(_resets, (host, one.published), agent)
            case "openvpn", "tcp":
                look = partial(_connects, host, one.published)
            case "ipsec", _ if one.published == ike_probe.PORT:
                look = partial(_speaks_ike, host)
        if look:
            yield judged(f"{one.way} at {one.transport}:{shown}:{one.published}, from here", look)


def _key(port: ClientPort, outputs: Mapping[str, Any]) -> str:
    """The public key of who listens there."""
    known = outputs["previous_key"]["public_key"] if port.name == PREVIOUS_KEY else outputs["server_public_key"]
    return str(known)


def _handshake(endpoint: tuple[str, int], server_public_key: str, agent: Program) -> str:
    private_key = curve25519.generate_private_key()
    with _device(agent, {"public_key": curve25519.public_key(private_key)}):
        if wireguard_handshake.is_answered(endpoint, private_key, server_public_key):
            return ""
    return f"no handshake: {_NO_UDP}, or the key of what listens there is not the one that the stack's outputs tell"


def _resets(endpoint: tuple[str, int], agent: Program) -> str:
    with _device(agent, {"protocol": "openvpn", "make_key": True}) as device:
        if openvpn_reset.is_answered(endpoint, device["profile"]):
            return ""
    return f"OpenVPN does not answer its own device: {_NO_UDP}"


@contextmanager
def _device(agent: Program, body: Mapping[str, object]) -> Iterator[dict[str, Any]]:
    """What the agent answers for a device that may come in for the time of the block."""
    device = agent.call("POST", "/v1/peers", {**body, "name": "verify", "ttl_seconds": DEVICE_TTL_S})
    try:
        yield device
    finally:
        agent.call("DELETE", f"/v1/peers/{device['id'].replace('+', '-').replace('/', '_')}")


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
