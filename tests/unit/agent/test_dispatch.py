"""Each device is let in and shut out by its own protocol."""

from collections.abc import Sequence

import pytest

from gateway.agent.command import CommandError
from gateway.agent.protocol import AwayError
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.store import Device
from tests.unit.agent.fakes import FakeAccess

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
