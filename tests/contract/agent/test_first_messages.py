"""The first messages of `make verify`, to a real wireguard-go and a real charon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import curve25519
from tests.contract.agent.conftest import made_world
from tests.contract.agent.ipsec_gateway import Gateway
from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.world import LAN_GATEWAY, LISTEN_PORT, World
from tests.device_paths import device_path
from verify import datagrams, ike_probe, wireguard_handshake

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "ANSWER_S", 0.5)


@pytest.fixture
def charon(tmp_path: Path, wireguard_go: str) -> Iterator[Gateway]:
    with made_world(tmp_path, wireguard_go) as world:
        gateway = Gateway(world)
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


def test_charon_answers(charon: Gateway) -> None:
    with in_namespace(charon.world.client.name):
        assert ike_probe.is_answered(LAN_GATEWAY)
    charon.stop_process()
    with in_namespace(charon.world.client.name):
        assert not ike_probe.is_answered(LAN_GATEWAY)
