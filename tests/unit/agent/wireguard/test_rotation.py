"""Devices while the gateway has two keys; tests/contract/agent/test_rotation.py has the packets."""

from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import pytest

from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.errors import InvalidFieldError
from gateway.agent.metrics import make_registry
from gateway.agent.protocols.wireguard import access, rotation
from gateway.agent.protocols.wireguard.access import WireGuardAccess
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.registration import Registration
from gateway.agent.stores.sqlite import SqliteStore
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, FakeDataPlane, agent_settings, key_pair
from tests.unit.agent.gateway import NETWORKS, NOW

PREVIOUS_KEY = key_pair().public
DEVICE = key_pair().public
ENDPOINT = "192.0.2.1:5"


@dataclass
class Rotated:
    """An agent with two keys, on a volume that has a device since before the rotation."""

    path: Path
    present: FakeDataPlane = field(default_factory=FakeDataPlane)
    previous: FakeDataPlane = field(default_factory=FakeDataPlane)

    def start(self, key: str, previous_key: str | None = None) -> None:
        self.store = SqliteStore(self.path)
        self.devices = Devices(self.store, FakeAccess(), NETWORKS, key, previous_key, clock=lambda: NOW)
        self.peers = [
            Peers(plane, NETWORKS, own, clock=lambda: NOW)
            for plane, own in ((self.present, SERVER_KEY), (self.previous, PREVIOUS_KEY))
        ]

    async def look(self) -> None:
        for peers, plane in zip(self.peers, (self.present, self.previous), strict=True):
            await peers.reconcile(await plane.show(), self.devices)

    @property
    def unmoved(self) -> list[str]:
        return [device.public_key for device in self.devices.unmoved()]


@pytest.fixture
async def rotated(tmp_path: Path) -> Rotated:
    rotated = Rotated(tmp_path / "peers.sqlite")
    rotated.start(PREVIOUS_KEY)
    await rotated.devices.register(Registration(public_key=DEVICE))
    assert rotated.unmoved == [], "there is no rotation yet"
    rotated.store.close()
    rotated.start(SERVER_KEY, PREVIOUS_KEY)
    await rotated.look()
    return rotated


async def test_a_device_is_left_until_the_present_key_has_heard_it(rotated: Rotated) -> None:
    await rotated.devices.register(Registration(public_key=key_pair().public))
    assert rotated.unmoved == [DEVICE]
    rotated.previous.handshake(DEVICE, ENDPOINT, NOW)
    await rotated.look()
    assert rotated.unmoved == [DEVICE]
    rotated.present.handshake(DEVICE, ENDPOINT, NOW + 1)
    await rotated.look()
    assert rotated.unmoved == []
    rotated.store.close()
    rotated.start(SERVER_KEY, PREVIOUS_KEY)
    assert rotated.unmoved == [], "the next agent knows it"


async def test_of_two_handshakes_the_later_one_is_told(rotated: Rotated) -> None:
    rotated.present.handshake(DEVICE, ENDPOINT, NOW + 5)
    rotated.previous.handshake(DEVICE, "192.0.2.9:9", NOW)
    await rotated.look()
    device = await rotated.devices.find(DEVICE)
    assert (device.endpoint, device.last_handshake, device.server_key) == (ENDPOINT, NOW + 5, SERVER_KEY)
    rotated.previous.handshake(DEVICE, "192.0.2.9:9", NOW + 6)
    await rotated.look()
    assert rotated.unmoved == [DEVICE], "it has gone back"


async def test_on_new_interfaces_a_device_is_called_by_the_key_that_it_knows(rotated: Rotated) -> None:
    rotated.previous.handshake(DEVICE, ENDPOINT, NOW)
    await rotated.look()
    for plane in (rotated.present, rotated.previous):
        plane.peers.clear()
    await rotated.look()
    assert rotated.previous.peers[DEVICE].keepalive
    assert (rotated.present.peers[DEVICE].endpoint, rotated.present.peers[DEVICE].keepalive) == (None, 0)


async def test_neither_key_of_the_gateway_is_a_devices(rotated: Rotated) -> None:
    for key in (SERVER_KEY, PREVIOUS_KEY):
        with pytest.raises(InvalidFieldError, match="the gateway's own public key"):
            await rotated.devices.register(Registration(public_key=key))


async def test_those_left_are_counted(rotated: Rotated) -> None:
    registry = make_registry(rotated.devices, FakeAccess())
    assert registry.get_sample_value("meshgate_peers_on_previous_key") == 1


class TestAccess:
    """WireGuard's two interfaces as one protocol."""

    @pytest.fixture
    def planes(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeDataPlane]:
        planes = {"wg0": FakeDataPlane(), "wg1": FakeDataPlane()}
        for module in (access, rotation):
            monkeypatch.setattr(module, "WireGuard", planes.__getitem__)
        return planes

    @pytest.fixture
    def both(self, planes: dict[str, FakeDataPlane], tmp_path: Path) -> WireGuardAccess:
        assert planes
        settings = agent_settings(
            tmp_path,
            interface="wg1",
            previous_interface="wg0",
            previous_listen_port=51821,
            previous_private_key_file=tmp_path / "previous",
            previous_public_key=PREVIOUS_KEY,
        )
        assert settings.wireguard is not None
        return WireGuardAccess(lambda: settings, settings.wireguard, Mock())

    async def test_a_device_comes_in_by_both_and_goes_from_both(
        self, both: WireGuardAccess, planes: dict[str, FakeDataPlane], rotated: Rotated
    ) -> None:
        device = await rotated.devices.find(DEVICE)
        await both.let_in(device)
        assert [list(plane.peers) for plane in planes.values()] == [[DEVICE], [DEVICE]]
        await both.shut_out([device])
        assert [list(plane.peers) for plane in planes.values()] == [[], []]

    @pytest.mark.parametrize("broken", ["wg0", "wg1"])
    async def test_an_interface_that_fails_is_told_and_holds_up_no_other(
        self, both: WireGuardAccess, planes: dict[str, FakeDataPlane], rotated: Rotated, broken: str
    ) -> None:
        device = await rotated.devices.find(DEVICE)
        await both.let_in(device)
        planes[broken].broken = True
        with pytest.raises(CommandError):
            await both.shut_out([device])
        (other,) = planes.keys() - {broken}
        assert not planes[other].peers

    async def test_nobody_is_in_by_interfaces_that_are_away(
        self, both: WireGuardAccess, planes: dict[str, FakeDataPlane], rotated: Rotated
    ) -> None:
        device = await rotated.devices.find(DEVICE)
        await both.let_in(device)
        planes["wg1"].go_away()
        await both.shut_out([device])
        assert not planes["wg0"].peers

    async def test_a_registration_waits_for_the_present_key_alone(
        self, both: WireGuardAccess, planes: dict[str, FakeDataPlane], rotated: Rotated
    ) -> None:
        planes["wg0"].go_away()
        await both.let_in(await rotated.devices.find(DEVICE))
        assert list(planes["wg1"].peers) == [DEVICE]
        planes["wg1"].go_away()
        with pytest.raises(CommandError):
            await both.let_in(await rotated.devices.find(DEVICE))
