"""The first messages of `make verify`, to a real wireguard-go, a real charon and a real OpenVPN."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import curve25519
from tests.contract.agent import ipsec_gateway, openvpn_gateway
from tests.contract.agent.conftest import made_world
from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.world import LAN_GATEWAY, LISTEN_PORT, World
from tests.device_paths import device_path
from verify import datagrams, ike_probe, openvpn_reset, wireguard_handshake

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "ANSWER_S", 0.5)


@pytest.fixture
def charon(tmp_path: Path, wireguard_go: str) -> Iterator[ipsec_gateway.Gateway]:
    with made_world(tmp_path, wireguard_go) as world:
        gateway = ipsec_gateway.Gateway(world)
        gateway.start()
        yield gateway
        gateway.stop_process()


@pytest.fixture
def openvpn(tmp_path: Path, wireguard_go: str) -> Iterator[openvpn_gateway.Gateway]:
    with made_world(tmp_path, wireguard_go) as world:
        gateway = openvpn_gateway.Gateway(world)
        gateway.start()
        yield gateway
        gateway.stop_process()


def answers(world: World, private_key: str, port: int = LISTEN_PORT) -> bool:
    with in_namespace(world.client.name):
        return wireguard_handshake.is_answered((LAN_GATEWAY, port), private_key, world.keys.public)


def test_wireguard_answers_a_device_that_is_registered_and_nobody_else(world: World) -> None:
    key = curve25519.generate_private_key()
    public_key = curve25519.public_key(key)
    assert not answers(world, key)
    world.register(public_key, ttl_seconds=60)
    assert answers(world, key)
    assert not answers(world, key, port=9)
    assert world.call("DELETE", device_path(public_key)).status_code == 204
    assert not answers(world, key)


def test_openvpn_answers_who_has_a_key_of_its_own(openvpn: openvpn_gateway.Gateway) -> None:
    profile = openvpn.register(ttl_seconds=60)["profile"]
    key = openvpn_reset.client_key(profile)
    with in_namespace(openvpn.world.client.name):
        endpoint = (LAN_GATEWAY, openvpn_gateway.UDP)
        assert openvpn_reset.is_answered(endpoint, profile)
        assert not openvpn_reset.is_answered((LAN_GATEWAY, 9), profile)
        foreign = base64.b64encode(key[:256] + bytes(len(key) - 256)).decode()
        assert not openvpn_reset.is_answered(endpoint, with_key(foreign))


def with_key(encoded: str) -> str:
    label = "OpenVPN tls-crypt-v2 client key-----"
    return f"-----BEGIN {label}\n{encoded}\n-----END {label}\n"


def test_charon_answers(charon: ipsec_gateway.Gateway) -> None:
    with in_namespace(charon.world.client.name):
        assert ike_probe.is_answered(LAN_GATEWAY)
    charon.stop_process()
    with in_namespace(charon.world.client.name):
        assert not ike_probe.is_answered(LAN_GATEWAY)
