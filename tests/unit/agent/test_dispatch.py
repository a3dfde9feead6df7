"""Each device is let in and shut out by its own protocol."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.protocol import AwayError
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.registration import Registration
from gateway.agent.store import Device
from gateway.agent.stores.sqlite import SqliteStore
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess
from tests.unit.agent.gateway import NETWORKS

NATIVE = Device(number=2, public_key="native", created_at=1)
CERTIFIED = Device(number=3, public_key="certified", protocol="openvpn", created_at=1)


class Remembering(FakeAccess):
    """A protocol that remembers what it was asked, and fails when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.error: CommandError | None = None

    async def let_in(self, device: Device) -> None:
        self.asked.append(f"let in {device.public_key}")

    async def shut_out(self, devices: Sequence[Device]) -> None:
        self.asked += [f"shut out {device.public_key}" for device in devices]
        if self.error:
            raise self.error

    def reconsider(self, devices: Sequence[Device]) -> None:
        self.asked += [f"reconsider {device.public_key}" for device in devices]


async def test_each_is_asked_of_its_own_devices() -> None:
    wireguard, openvpn = Remembering(), Remembering()
    both = Dispatch({"wireguard": wireguard, "openvpn": openvpn})
    await both.let_in(CERTIFIED)
    await both.shut_out([NATIVE, CERTIFIED])
    both.reconsider([NATIVE])
    assert wireguard.asked == ["shut out native", "reconsider native"]
    assert openvpn.asked == ["let in certified", "shut out certified"]


async def test_one_that_fails_holds_up_no_other() -> None:
    wireguard, openvpn = Remembering(), Remembering()
    wireguard.error = CommandError("wg failed")
    with pytest.raises(CommandError, match="wg failed"):
        await Dispatch({"wireguard": wireguard, "openvpn": openvpn}).shut_out([NATIVE, CERTIFIED])
    assert openvpn.asked == ["shut out certified"]
    wireguard.error = AwayError("no interface")
    await Dispatch({"wireguard": wireguard}).shut_out([NATIVE])


async def test_a_protocol_that_was_given_up_has_nobody_in() -> None:
    alone = Dispatch({"wireguard": Remembering()})
    with pytest.raises(AwayError, match="does not offer openvpn any more"):
        await alone.let_in(CERTIFIED)
    await alone.shut_out([CERTIFIED])


async def test_a_device_that_cannot_be_shut_out_holds_up_none_of_another_protocol(tmp_path: Path) -> None:
    wireguard, openvpn = Remembering(), Remembering()
    now = 100.0
    store = SqliteStore(tmp_path / "peers.sqlite")
    both = Dispatch({"wireguard": wireguard, "openvpn": openvpn})
    devices = Devices(store, both, NETWORKS, SERVER_KEY, clock=lambda: now, monotonic=lambda: now)
    await devices.register(Registration(public_key="native", ttl_seconds=10))
    await devices.register(Registration(public_key="certified", protocol="openvpn", ttl_seconds=10))
    now = 110.0
    wireguard.error = CommandError("wg failed")
    with pytest.raises(CommandError, match="wg failed"):
        await devices.expire()
    assert [device.public_key for device in store.everyone()] == ["native"]
    store.close()
