"""What `make verify` says of a way in that nobody answers at, and that it leaves no device behind."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, cast

import pytest

from gateway.agent.protocols.openvpn import tls_crypt
from infra.curve25519 import generate_private_key, public_key
from infra.settings.loading import load
from verify import datagrams, ike_probe, ways_in, wireguard_handshake
from verify.inside import Program

ID = "vq+/ya2fnV1pYjXSx0WwAJUk0MoAbsLyvQO8SCFF7Dk="
PATH = "/v1/peers/vq-_ya2fnV1pYjXSx0WwAJUk0MoAbsLyvQO8SCFF7Dk="


class Agent:
    """It lets every device in, and remembers whom."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[Mapping[str, object]] = []

    def call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        self.calls.append((method, path))
        if body:
            self.bodies.append(body)
        key = tls_crypt.client_key(tls_crypt.server_key(bytes(32)), ID)
        return {"id": ID, "profile": tls_crypt.client_pem(key)}


def test_a_rotated_key_is_looked_for_where_older_configs_dial(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, int], str]] = []

    def answer(endpoint: tuple[str, int], _: str, key: str) -> bool:
        asked.append((endpoint, key))
        return True

    monkeypatch.setattr(wireguard_handshake, "is_answered", answer)
    gateway = {"name": "one", "endpoint": "vpn.example.com:31821", "previous_key": {"port": 31820}}
    outputs = {"server_public_key": "the key", "previous_key": {"public_key": "the key before"}}
    (settings,) = load({"gateways": [gateway]}.get).gateways
    found = list(ways_in.parts(settings, outputs, cast("Program", Agent())))
    assert [part.said for part in found] == [
        f"wireguard at udp:vpn.example.com:{port}, from here: works" for port in (31821, 31820)
    ]
    assert asked == [(("vpn.example.com", 31821), "the key"), (("vpn.example.com", 31820), "the key before")]


@contextmanager
def silent(kind: socket.SocketKind) -> Iterator[int]:
    """A port at which somebody takes packets and says nothing; of TCP one that takes no connection."""
    with socket.socket(type=kind) as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    with ExitStack() as taken:
        kinds = {"wireguard": socket.SOCK_DGRAM, "udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}
        yield {name: taken.enter_context(silent(kind)) for name, kind in kinds.items()}


def test_each_way_that_does_not_work_is_told_with_what_to_look_at(
    ports: Mapping[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagrams, "ANSWER_S", 0.05)
    monkeypatch.setattr(ike_probe, "is_answered", lambda _: False)
    gateway = {
        "name": "one",
        "endpoint": f"127.0.0.1:{ports['wireguard']}",
        "exposure": "HostPort",
        "access": ["wireguard", "openvpn", "ipsec"],
        "openvpn": {"udp_port": ports["udp"], "tcp_port": ports["tcp"]},
    }
    settings, agent = load({"gateways": [gateway]}.get), Agent()
    outputs = {"server_public_key": public_key(generate_private_key())}
    found = list(ways_in.parts(settings.gateways[0], outputs, cast("Program", agent)))
    assert [(part.name, part.problem.split(":")[0].split(" (")[0]) for part in found] == [
        (f"wireguard at udp:127.0.0.1:{ports['wireguard']}, from here", "no handshake"),
        (f"openvpn at udp:127.0.0.1:{ports['udp']}, from here", "OpenVPN does not answer its own device"),
        (f"openvpn at tcp:127.0.0.1:{ports['tcp']}, from here", "nobody takes a connection"),
        ("ipsec at udp:127.0.0.1:500, from here", "nobody speaks IKE there"),
    ]
    assert agent.calls == [("POST", "/v1/peers"), ("DELETE", PATH)] * 2
    assert all(body["ttl_seconds"] == ways_in.DEVICE_TTL_S for body in agent.bodies), "should the look be killed"
