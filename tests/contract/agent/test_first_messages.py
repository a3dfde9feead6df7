"""The first messages of `make verify`, to a real wireguard-go and a real charon."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.contract.agent.conftest import made_world
from tests.contract.agent.ipsec_gateway import Gateway
from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.world import LAN_GATEWAY, LISTEN_PORT, World
from tests.device_paths import device_path
from verify import ike_probe, wireguard_handshake

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for probe in (ike_probe, wireguard_handshake):
        monkeypatch.setattr(probe, "ANSWER_S", 0.5)


@pytest.fixture
def charon(tmp_path: Path, wireguard_go: str) -> Iterator[Gateway]:
    with made_world(tmp_path, wireguard_go) as world:
        gateway = Gateway(world)
        gateway.start()
        yield gateway
        gateway.stop_process()


def answers(world: World, key: X25519PrivateKey, port: int = LISTEN_PORT) -> bool:
    with in_namespace(world.client.name):
        server = base64.b64decode(world.keys.public)
        return wireguard_handshake.is_answered((LAN_GATEWAY, port), key, server)


def test_wireguard_answers_a_device_that_is_registered_and_nobody_else(world: World) -> None:
    key = X25519PrivateKey.generate()
    public_key = base64.b64encode(key.public_key().public_bytes_raw()).decode()
    assert not answers(world, key)
    world.register(public_key, ttl_seconds=60)
    assert answers(world, key)
    assert not answers(world, key, port=9)
    assert world.call("DELETE", device_path(public_key)).status_code == 204
    assert not answers(world, key)


def test_charon_answers(charon: Gateway) -> None:
    with in_namespace(charon.world.client.name):
        assert ike_probe.is_answered(LAN_GATEWAY)
    charon.stop_process()
    with in_namespace(charon.world.client.name):
        assert not ike_probe.is_answered(LAN_GATEWAY)
