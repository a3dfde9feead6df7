"""The way of a device, on a real store and a data plane that can be made to fail."""

import asyncio
import base64
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.agent.devices import Devices, Registration
from gateway.agent.errors import (
    DeviceUnknownError,
    InvalidFieldError,
    NameTakenError,
    PoolFullError,
    RequestError,
    UnavailableError,
)
from gateway.agent.protocols.wireguard import wg
from gateway.agent.protocols.wireguard.peers import CALL_BACK_WITHIN_S, Peers
from gateway.agent.protocols.wireguard.wg import SeenPeer, parse_peer
from gateway.agent.store import Store, StoreError
from tests.unit.agent.fakes import SERVER_KEY, FakeDataPlane

NETWORKS = (ip_network("10.77.0.0/29"), ip_network("fd77::/64"))
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(2, 9)]
NOW = 1_800_000_000

Result = TypeVar("Result")


@dataclass
class Gateway:
    """What one agent has, and how to start the next on the same volume."""

    path: Path
    plane: FakeDataPlane
    now: float = NOW

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.store = Store(self.path)
        self.peers = Peers(self.plane, NETWORKS, clock=lambda: self.now)
        self.devices = Devices(self.store, self.peers, NETWORKS, SERVER_KEY, clock=lambda: self.now)

    async def reconcile(self) -> None:
        await self.peers.reconcile(await self.plane.show(), self.devices)

    def crash(self) -> None:
        """The agent is gone; the interface and the volume are not."""
        self.store.close()
        self.restart()


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "peers.sqlite", FakeDataPlane())


async def test_registering_twice_is_the_same_device(gateway: Gateway) -> None:
    first, is_new = await gateway.devices.register(Registration(public_key=KEYS[0], name="phone"))
    assert is_new
    assert gateway.devices.addresses(first) == ("10.77.0.2/32", "fd77::2/128")
    second, is_new = await gateway.devices.register(Registration(public_key=KEYS[0]))
    assert not is_new
    assert second == first


async def test_what_is_given_anew_is_changed(gateway: Gateway) -> None:
    await gateway.devices.register(Registration(public_key=KEYS[0], name="phone", ttl_seconds=5))
    changed, _ = await gateway.devices.register(
        Registration(public_key=KEYS[0], name="tablet", ttl_seconds=50, preshared_key=KEYS[6])
    )
    assert (changed.name, changed.expires_at, changed.preshared_key) == ("tablet", NOW + 50, KEYS[6])
    assert gateway.plane.peers[KEYS[0]].preshared_key == KEYS[6]


async def test_refusals_change_nothing(gateway: Gateway) -> None:
    await gateway.devices.register(Registration(public_key=KEYS[0], name="phone"))
    with pytest.raises(NameTakenError):
        await gateway.devices.register(Registration(public_key=KEYS[1], name="phone"))
    with pytest.raises(InvalidFieldError, match="the gateway's own public key"):
        await gateway.devices.register(Registration(public_key=SERVER_KEY))
    with pytest.raises(DeviceUnknownError):
        await gateway.devices.revoke(KEYS[1])
    assert [device.public_key for device in gateway.store.everyone()] == list(gateway.plane.peers) == [KEYS[0]]


async def test_a_full_pool_says_so_and_a_freed_address_helps(gateway: Gateway) -> None:
    for key in KEYS[:5]:
        await gateway.devices.register(Registration(public_key=key))
    with pytest.raises(PoolFullError, match="all 5 addresses of the client networks are taken"):
        await gateway.devices.register(Registration(public_key=KEYS[5]))
    await gateway.devices.revoke(KEYS[3])
    device, _ = await gateway.devices.register(Registration(public_key=KEYS[5]))
    assert gateway.devices.addresses(device)[0] == "10.77.0.5/32"


async def test_while_the_interface_is_away_a_device_is_kept_and_nobody_is_forgotten(gateway: Gateway) -> None:
    await gateway.devices.register(Registration(public_key=KEYS[0]))
    gateway.plane.broken = True
    with pytest.raises(UnavailableError):
        await gateway.devices.register(Registration(public_key=KEYS[1]))
    with pytest.raises(UnavailableError):
        await gateway.devices.revoke(KEYS[0])
    gateway.plane.broken = False
    gateway.plane.peers.clear()
    await gateway.reconcile()
    assert gateway.plane.peers.keys() == {KEYS[0], KEYS[1]}


async def test_an_intact_interface_is_left_alone(gateway: Gateway) -> None:
    for key in KEYS[:3]:
        await gateway.devices.register(Registration(public_key=key, preshared_key=KEYS[6]))
    gateway.plane.handshake(KEYS[0], "192.0.2.1:5", NOW)
    gateway.crash()
    before = gateway.plane.changes
    await gateway.reconcile()
    assert gateway.plane.changes == before


async def test_a_look_that_a_registration_overtook_changes_nothing(gateway: Gateway) -> None:
    await gateway.devices.register(Registration(public_key=KEYS[0]))
    outdated = await gateway.plane.show()
    await gateway.devices.register(Registration(public_key=KEYS[1]))
    await gateway.devices.revoke(KEYS[0])
    before = gateway.plane.changes
    await gateway.peers.reconcile(outdated, gateway.devices)
    assert gateway.plane.changes == before
    assert not gateway.peers.is_unsettled, "nothing is wrong that a look should see soon"


async def test_on_a_new_interface_devices_seen_lately_are_called_once(gateway: Gateway) -> None:
    for key in KEYS[:3]:
        await gateway.devices.register(Registration(public_key=key))
    gateway.plane.handshake(KEYS[0], "192.0.2.1:5", NOW)
    gateway.plane.handshake(KEYS[1], "[2001:db8::1]:6", NOW - CALL_BACK_WITHIN_S)
    await gateway.reconcile()

    gateway.plane.peers.clear()
    await gateway.reconcile()
    assert {key: (peer.endpoint, peer.keepalive) for key, peer in gateway.plane.peers.items()} == {
        KEYS[0]: ("192.0.2.1:5", 25),
        KEYS[1]: ("[2001:db8::1]:6", 0),
        KEYS[2]: (None, 0),
    }
    await gateway.reconcile()
    assert {peer.keepalive for peer in gateway.plane.peers.values()} == {0}


async def test_those_seen_last_come_back_first(gateway: Gateway) -> None:
    for number, key in enumerate(KEYS[:4]):
        await gateway.devices.register(Registration(public_key=key))
        if number:
            gateway.plane.handshake(key, "192.0.2.1:5", NOW + number)
    await gateway.reconcile()
    gateway.plane.peers.clear()
    await gateway.reconcile()
    assert list(gateway.plane.peers) == [KEYS[3], KEYS[2], KEYS[1], KEYS[0]]


async def test_a_look_reads_only_what_has_changed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS[:5]:
        await gateway.devices.register(Registration(public_key=key))
    await gateway.reconcile()
    read: list[str] = []

    def parse(line: str) -> SeenPeer:
        read.append(line)
        return parse_peer(line)

    monkeypatch.setattr(wg, "parse_peer", parse)
    await gateway.reconcile()
    assert read == []
    gateway.plane.handshake(KEYS[2], "192.0.2.1:5", NOW)
    await gateway.reconcile()
    assert len(set(read)) == 1
    assert (await gateway.devices.find(KEYS[2])).endpoint == "192.0.2.1:5"


async def test_a_peer_that_was_called_and_removed_meanwhile_stays_out(gateway: Gateway) -> None:
    await gateway.devices.register(Registration(public_key=KEYS[0]))
    gateway.plane.handshake(KEYS[0], "192.0.2.1:5", NOW)
    await gateway.reconcile()
    gateway.plane.peers.clear()
    await gateway.reconcile()
    outdated = await gateway.plane.show()
    await gateway.devices.revoke(KEYS[0])
    await gateway.peers.reconcile(outdated, gateway.devices)
    assert gateway.plane.peers == {}


async def test_what_failed_is_looked_at_soon(gateway: Gateway) -> None:
    gateway.plane.broken = True
    with pytest.raises(UnavailableError):
        await gateway.devices.register(Registration(public_key=KEYS[0]))
    assert gateway.peers.is_unsettled
    gateway.plane.broken = False
    await gateway.reconcile()
    assert gateway.peers.is_unsettled, "what was put right is seen once more"
    await gateway.reconcile()
    assert not gateway.peers.is_unsettled


async def test_a_full_disk_ends_no_look_and_is_told_once(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(_: object) -> None:
        raise StoreError("database or disk is full")

    for key in KEYS[:2]:
        await gateway.devices.register(Registration(public_key=key))
    with monkeypatch.context() as patched:
        patched.setattr(gateway.store, "note", full)
        for port in range(3):
            gateway.plane.handshake(KEYS[0], f"192.0.2.1:{port}", NOW + port)
            await gateway.reconcile()
        del gateway.plane.peers[KEYS[1]]
        await gateway.reconcile()
    assert gateway.plane.peers.keys() == set(KEYS[:2]), "what is mandatory goes on"
    assert caplog.text.count("database or disk is full") == 1
    while (device := await gateway.devices.find(KEYS[0])).endpoint is None:  # after a pause, and without a new look
        await gateway.reconcile()
    assert (device.endpoint, device.last_handshake) == ("192.0.2.1:2", NOW + 2)


async def test_the_time_of_handshakes_is_counted(gateway: Gateway) -> None:
    for key, ago in zip(KEYS, (0, 180, 181), strict=False):
        await gateway.devices.register(Registration(public_key=key))
        gateway.plane.handshake(key, "192.0.2.1:5", NOW - ago)
    await gateway.devices.register(Registration(public_key=KEYS[3]))
    await gateway.reconcile()
    assert [gateway.peers.heard_within(seconds) for seconds in (180, 900)] == [2, 3]


async def test_concurrent_registrations_share_nothing(gateway: Gateway) -> None:
    answers = await asyncio.gather(
        *(gateway.devices.register(Registration(public_key=key)) for key in KEYS[:5]),
        *(gateway.devices.register(Registration(public_key=key)) for key in KEYS[:5]),
    )
    assert len({device.number for device, _ in answers}) == 5
    assert sum(is_new for _, is_new in answers) == 5


class Life(RuleBasedStateMachine):
    """Registrations, removals, expiry, crashes and broken interfaces in any order, against a model.

    The model: a device that was acknowledged is in the store, with the address it was told, until it is removed or
    expires; and whenever the interface works and was reconciled, it has exactly the stored devices.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.gateway = Gateway(Path(self.directory.name, "peers.sqlite"), FakeDataPlane())
        self.acknowledged: dict[str, tuple[str, ...]] = {}
        self.ends: dict[str, float] = {}

    def teardown(self) -> None:
        self.gateway.store.close()
        self.directory.cleanup()

    def attempt(self, change: Coroutine[Any, Any, Result]) -> Result | None:
        try:
            return asyncio.run(change)
        except RequestError:
            return None

    @rule(
        key=st.sampled_from(KEYS),
        name=st.none() | st.sampled_from(["a", "b"]),
        ttl=st.none() | st.integers(1, 100),
        broken=st.booleans(),
    )
    def register(self, key: str, name: str | None, ttl: int | None, broken: bool) -> None:
        self.gateway.plane.broken = broken
        wanted = Registration(public_key=key, name=name, ttl_seconds=ttl)
        answered = self.attempt(self.gateway.devices.register(wanted))
        self.gateway.plane.broken = False
        stored = self.gateway.store.find(key)
        if answered:
            assert stored == answered[0]
            self.acknowledged[key] = self.gateway.devices.addresses(answered[0])
        if stored and stored.expires_at:
            self.ends[key] = stored.expires_at

    @rule(key=st.sampled_from(KEYS), broken=st.booleans())
    def revoke(self, key: str, broken: bool) -> None:
        self.gateway.plane.broken = broken
        known = self.gateway.store.find(key) is not None
        self.attempt(self.gateway.devices.revoke(key))
        self.gateway.plane.broken = False
        if known and not broken:
            self.forget(key)

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.gateway.now += seconds
        asyncio.run(self.gateway.devices.expire())
        for key in [key for key, end in self.ends.items() if end <= self.gateway.now]:
            self.forget(key)

    def forget(self, key: str) -> None:
        self.acknowledged.pop(key, None)
        self.ends.pop(key, None)
        assert key not in self.gateway.plane.peers

    @rule()
    def crash(self) -> None:
        self.gateway.crash()

    @rule()
    def interface_is_new(self) -> None:
        self.gateway.plane.peers.clear()

    @invariant()
    def acknowledged_devices_are_kept(self) -> None:
        stored = {device.public_key: device for device in self.gateway.store.everyone()}
        assert {
            key: self.gateway.devices.addresses(stored[key]) for key in self.acknowledged if key in stored
        } == self.acknowledged
        assert self.gateway.devices.pool.taken == {device.number for device in stored.values()}

    @rule()
    def reconcile(self) -> None:
        asyncio.run(self.gateway.reconcile())
        devices, stored = self.gateway.devices, self.gateway.store.everyone()
        assert {key: peer.allowed_ips for key, peer in self.gateway.plane.peers.items()} == {
            device.public_key: frozenset(devices.addresses(device)) for device in stored
        }


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
