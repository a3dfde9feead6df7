"""The way of a device, on a real store and a data plane that can be made to fail."""

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from gateway.agent.errors import DeviceUnknownError, InvalidFieldError, PoolFullError, UnavailableError
from gateway.agent.expiry import KEPT_S
from gateway.agent.protocols.wireguard import calls, wg
from gateway.agent.protocols.wireguard.calls import CALL_BACK_WITHIN_S
from gateway.agent.protocols.wireguard.wg import SeenPeer, parse_peer
from gateway.agent.registration import Registration
from gateway.agent.store import StoreError
from tests.unit.agent.fakes import SERVER_KEY
from tests.unit.agent.gateway import NOW, Gateway

KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(2, 9)]
YEAR_S = 365 * 86400


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path / "peers.sqlite")
    yield gateway
    gateway.store.close()


async def register(gateway: Gateway, key: str = KEYS[0], **more: object) -> None:
    await gateway.devices.register(Registration(public_key=key, **more))  # type: ignore[arg-type]


async def is_known(gateway: Gateway, key: str = KEYS[0]) -> bool:
    try:
        await gateway.devices.find(key)
    except DeviceUnknownError:
        return False
    return True


class TestRegistration:
    async def test_twice_is_the_same_device(self, gateway: Gateway) -> None:
        first = await gateway.devices.register(Registration(public_key=KEYS[0], name="phone"))
        assert (first.is_new, first.is_in) == (True, True)
        assert gateway.devices.addresses(first.device) == ("10.77.0.2/32", "fd77::2/128")
        second = await gateway.devices.register(Registration(public_key=KEYS[0]))
        assert (second.is_new, second.is_in) == (False, True)
        assert second.device == first.device

    async def test_what_is_given_anew_is_changed_and_null_unsets(self, gateway: Gateway) -> None:
        await register(gateway, name="phone", ttl_seconds=5, preshared_key=KEYS[5])
        await register(gateway, name="tablet", ttl_seconds=50, preshared_key=KEYS[6])
        changed = await gateway.devices.find(KEYS[0])
        assert (changed.name, changed.expires_at, changed.preshared_key) == ("tablet", NOW + 50, KEYS[6])
        assert gateway.plane.peers[KEYS[0]].preshared_key == KEYS[6]
        await register(gateway, name=None, ttl_seconds=None, preshared_key=None)
        unset = await gateway.devices.find(KEYS[0])
        assert (unset.name, unset.expires_at, unset.preshared_key) == (None, None, None)
        assert gateway.plane.peers[KEYS[0]].preshared_key is None
        gateway.wait(100)
        await gateway.devices.expire()
        assert await is_known(gateway)
        gateway.crash()
        assert await gateway.devices.find(KEYS[0]) == unset

    async def test_refusals_change_nothing(self, gateway: Gateway) -> None:
        await register(gateway)
        with pytest.raises(InvalidFieldError, match="the gateway's own public key"):
            await register(gateway, SERVER_KEY)
        with pytest.raises(DeviceUnknownError):
            await gateway.devices.revoke(KEYS[1])
        assert [device.public_key for device in gateway.store.everyone()] == list(gateway.plane.peers) == [KEYS[0]]

    async def test_a_full_pool_says_so_and_a_freed_address_helps(self, gateway: Gateway) -> None:
        for key in KEYS[:5]:
            await register(gateway, key)
        with pytest.raises(PoolFullError, match="all 5 addresses of the client networks are taken"):
            await register(gateway, KEYS[5])
        await gateway.devices.revoke(KEYS[3])
        with pytest.raises(UnavailableError, match="another device's a moment ago"):
            await register(gateway, KEYS[5])
        gateway.devices.pool.free(list(gateway.devices.pool.resting))
        admission = await gateway.devices.register(Registration(public_key=KEYS[5]))
        assert gateway.devices.addresses(admission.device)[0] == "10.77.0.5/32"

    async def test_without_an_interface_it_is_accepted_and_comes_in_with_it(self, gateway: Gateway) -> None:
        gateway.plane.go_away()
        new = await gateway.devices.register(Registration(public_key=KEYS[0]))
        assert (new.is_new, new.is_in) == (True, False)
        again = await gateway.devices.register(Registration(public_key=KEYS[0], preshared_key=KEYS[6]))
        assert (again.is_new, again.is_in) == (False, False)
        gateway.plane.away = False
        await gateway.reconcile()
        assert gateway.plane.peers[KEYS[0]].preshared_key == KEYS[6]

    async def test_where_wg_fails_it_is_accepted_and_comes_in_later(self, gateway: Gateway) -> None:
        await register(gateway)
        gateway.plane.broken = True
        assert not (await gateway.devices.register(Registration(public_key=KEYS[0], preshared_key=KEYS[6]))).is_in
        assert not (await gateway.devices.register(Registration(public_key=KEYS[1]))).is_in
        gateway.plane.broken = False
        await gateway.reconcile()
        assert gateway.plane.peers[KEYS[0]].preshared_key == KEYS[6]
        assert KEYS[1] in gateway.plane.peers

    async def test_on_a_full_disk_nothing_is_kept(self, gateway: Gateway) -> None:
        await register(gateway, name="phone")
        gateway.fill_the_disk()
        with pytest.raises(StoreError, match="the store of devices cannot be written"):
            await register(gateway, KEYS[1])
        with pytest.raises(StoreError):
            await register(gateway, name="tablet")
        assert gateway.plane.peers.keys() == {KEYS[0]}
        assert (await gateway.devices.find(KEYS[0])).name == "phone"
        gateway.fill_the_disk(full=False)
        assert not await is_known(gateway, KEYS[1])
        admission = await gateway.devices.register(Registration(public_key=KEYS[1]))
        assert (admission.is_new, admission.device.number) == (True, 3)

    async def test_many_at_once_share_nothing(self, gateway: Gateway) -> None:
        answers = await asyncio.gather(
            *(gateway.devices.register(Registration(public_key=key)) for key in KEYS[:5]),
            *(gateway.devices.register(Registration(public_key=key)) for key in KEYS[:5]),
        )
        assert len({admission.device.number for admission in answers}) == 5
        assert sum(admission.is_new for admission in answers) == 5

    async def test_a_caller_who_goes_away_leaves_nothing_half_done(self, gateway: Gateway) -> None:
        caller = asyncio.create_task(gateway.devices.register(Registration(public_key=KEYS[0])))
        await asyncio.sleep(0)  # it has begun
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        async with gateway.devices.unchanging(KEYS) as known:
            assert known.keys() == gateway.plane.peers.keys() == {KEYS[0]}
        await register(gateway, KEYS[1])


class TestRevocation:
    async def test_without_an_interface_the_device_is_forgotten(self, gateway: Gateway) -> None:
        await register(gateway)
        gateway.plane.go_away()
        await gateway.devices.revoke(KEYS[0])
        gateway.plane.away = False
        await gateway.reconcile()
        assert gateway.store.everyone() == []
        assert gateway.plane.peers == {}

    async def test_where_wg_fails_nothing_lets_the_device_in_again(self, gateway: Gateway) -> None:
        await register(gateway)
        gateway.plane.broken = True
        with pytest.raises(UnavailableError, match="cannot be shut out just now"):
            await gateway.devices.revoke(KEYS[0])
        assert not await is_known(gateway)
        gateway.crash()
        assert not await is_known(gateway)
        gateway.plane.broken = False
        await gateway.reconcile()
        assert gateway.plane.peers == {}
        await gateway.devices.revoke(KEYS[0])
        assert gateway.store.everyone() == []

    async def test_on_a_full_disk_the_device_is_out_and_forgotten_as_soon_as_that_works(self, gateway: Gateway) -> None:
        await register(gateway)
        gateway.fill_the_disk()
        with pytest.raises(UnavailableError, match=r"shut out but not forgotten yet: the store .* cannot be written"):
            await gateway.devices.revoke(KEYS[0])
        assert gateway.plane.peers == {}
        gateway.plane.peers.clear()  # the interface is new
        await gateway.reconcile()
        assert gateway.plane.peers == {}
        assert not await is_known(gateway)
        with pytest.raises(StoreError):
            await gateway.devices.expire()
        gateway.fill_the_disk(full=False)
        await gateway.devices.expire()
        assert gateway.store.everyone() == []
        assert gateway.devices.pool.taken == set()

    async def test_of_a_device_whose_time_is_over_no_clock_brings_it_back(self, gateway: Gateway) -> None:
        await register(gateway, ttl_seconds=60)
        gateway.now += YEAR_S
        await gateway.devices.expire()
        await gateway.devices.revoke(KEYS[0])
        gateway.now -= YEAR_S
        await gateway.reconcile()
        assert gateway.plane.peers == {}


class TestTime:
    async def test_over_is_unknown_to_everybody_before_it_is_swept(self, gateway: Gateway) -> None:
        await register(gateway, ttl_seconds=60)
        gateway.wait(60)
        assert not await is_known(gateway)
        assert await gateway.devices.page(0, 10) == []
        assert gateway.devices.among(KEYS) == {}
        await gateway.reconcile()
        assert gateway.plane.peers == {}

    async def test_a_device_that_is_over_comes_back_as_a_new_one_at_its_address(self, gateway: Gateway) -> None:
        await register(gateway, KEYS[1])
        await register(gateway, name="phone", ttl_seconds=60, preshared_key=KEYS[6])
        gateway.wait(60)
        admission = await gateway.devices.register(Registration(public_key=KEYS[0]))
        assert admission.is_new
        assert (admission.device.number, admission.device.created_at) == (3, NOW + 60)
        assert (admission.device.name, admission.device.expires_at, admission.device.preshared_key) == (None,) * 3
        await gateway.devices.expire()
        gateway.crash()
        assert await gateway.devices.find(KEYS[0]) == admission.device

    async def test_what_ended_while_the_agent_was_away_is_never_let_in(self, gateway: Gateway) -> None:
        await register(gateway, ttl_seconds=60)
        gateway.plane.peers.clear()
        gateway.wait(60)
        gateway.crash()
        await gateway.reconcile()
        assert gateway.plane.changes == 1, "the registration's own"
        gateway.wait(KEPT_S)
        await gateway.devices.expire()
        assert gateway.devices.among(KEYS) == {}

    async def test_what_has_really_ended_is_forgotten_at_once(self, gateway: Gateway) -> None:
        await register(gateway, ttl_seconds=60)
        gateway.wait(60)
        await gateway.devices.expire()
        assert gateway.plane.peers == {}
        assert gateway.store.everyone() == []
        assert gateway.devices.pool.taken == set()

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_a_clock_that_jumps_ahead_loses_nobody(self, gateway: Gateway, restarted: bool) -> None:
        await register(gateway, ttl_seconds=YEAR_S)
        if restarted:
            gateway.crash()
        gateway.now += 2 * YEAR_S
        await gateway.devices.expire()
        assert gateway.plane.peers == {}, "it is shut out at once"
        assert not await is_known(gateway)
        gateway.uptime += KEPT_S - 1
        await gateway.devices.expire()
        assert gateway.devices.resting == 1
        gateway.now -= 2 * YEAR_S
        await gateway.devices.expire()
        await gateway.reconcile()
        assert gateway.plane.peers.keys() == {KEYS[0]}
        assert gateway.devices.resting == 0

    async def test_a_clock_that_is_right_again_before_anybody_was_shut_out_loses_nobody(self, gateway: Gateway) -> None:
        await register(gateway, ttl_seconds=YEAR_S)
        gateway.plane.peers.clear()
        gateway.now += 2 * YEAR_S
        await gateway.reconcile()
        assert gateway.plane.peers == {}
        gateway.now -= 2 * YEAR_S
        await gateway.devices.expire()
        assert gateway.peers.is_unsettled
        await gateway.reconcile()
        assert gateway.plane.peers.keys() == {KEYS[0]}

    async def test_what_ended_before_the_start_is_forgotten_after_a_while(self, gateway: Gateway) -> None:
        await register(gateway, ttl_seconds=60)
        gateway.wait(60)
        gateway.crash()
        await gateway.devices.expire()
        assert len(gateway.store.everyone()) == 1
        gateway.wait(KEPT_S)
        await gateway.devices.expire()
        assert gateway.store.everyone() == []

    async def test_a_clock_that_jumps_back_keeps_nobody_in(self, gateway: Gateway) -> None:
        await register(gateway, ttl_seconds=60)
        gateway.now -= YEAR_S
        gateway.wait(59)
        await gateway.devices.expire()
        assert gateway.plane.peers.keys() == {KEYS[0]}
        gateway.wait(1)
        await gateway.devices.expire()
        assert gateway.plane.peers == {}

    async def test_one_that_cannot_be_shut_out_holds_up_no_other(self, gateway: Gateway) -> None:
        await register(gateway)
        gateway.fill_the_disk()
        with pytest.raises(UnavailableError):
            await gateway.devices.revoke(KEYS[0])
        gateway.fill_the_disk(full=False)
        await register(gateway, KEYS[1], ttl_seconds=60)
        gateway.wait(60)
        gateway.plane.broken = True
        with pytest.raises(Exception, match="wg failed"):
            await gateway.devices.expire()
        assert [device.public_key for device in gateway.store.everyone()] == [KEYS[1]]


class TestTheInterface:
    async def test_an_intact_one_is_left_alone(self, gateway: Gateway) -> None:
        for key in KEYS[:3]:
            await register(gateway, key, preshared_key=KEYS[6])
        gateway.plane.handshake(KEYS[0], "192.0.2.1:5", NOW)
        gateway.crash()
        before = gateway.plane.changes
        await gateway.reconcile()
        assert gateway.plane.changes == before

    async def test_a_look_that_a_registration_overtook_changes_nothing(self, gateway: Gateway) -> None:
        await register(gateway)
        outdated = await gateway.plane.show()
        await register(gateway, KEYS[1])
        await gateway.devices.revoke(KEYS[0])
        before = gateway.plane.changes
        await gateway.peers.reconcile(outdated, gateway.devices)
        assert gateway.plane.changes == before
        assert not gateway.peers.is_unsettled, "nothing is wrong that a look should see soon"

    async def test_on_a_new_one_devices_seen_lately_are_called_once(self, gateway: Gateway) -> None:
        for key in KEYS[:3]:
            await register(gateway, key)
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

    async def test_who_does_not_answer_a_call_is_called_once_more(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(calls, "AGAIN_AFTER_S", 0)
        for key in KEYS[:2]:
            await register(gateway, key)
            gateway.plane.handshake(key, "192.0.2.1:5", NOW)
        await gateway.reconcile()
        gateway.plane.peers.clear()
        await gateway.reconcile()
        assert gateway.peers.is_unsettled
        gateway.plane.handshake(KEYS[1], "192.0.2.1:5", NOW)
        remove_peers = Mock(wraps=gateway.plane.remove_peers)
        monkeypatch.setattr(gateway.plane, "remove_peers", remove_peers)
        for keepalive in (25, 0, 0):
            await gateway.reconcile()
            remove_peers.assert_called_once_with(KEYS[:1])
            assert gateway.plane.peers[KEYS[0]].keepalive == keepalive
            assert gateway.plane.peers[KEYS[1]].keepalive == 0
        assert not gateway.peers.is_unsettled

    async def test_those_seen_last_come_back_first(self, gateway: Gateway) -> None:
        for number, key in enumerate(KEYS[:4]):
            await register(gateway, key)
            if number:
                gateway.plane.handshake(key, "192.0.2.1:5", NOW + number)
        await gateway.reconcile()
        gateway.plane.peers.clear()
        await gateway.reconcile()
        assert list(gateway.plane.peers) == [KEYS[3], KEYS[2], KEYS[1], KEYS[0]]

    async def test_a_look_reads_only_what_has_changed(self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
        for key in KEYS[:5]:
            await register(gateway, key)
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

    async def test_a_peer_that_was_called_and_removed_meanwhile_stays_out(self, gateway: Gateway) -> None:
        await register(gateway)
        gateway.plane.handshake(KEYS[0], "192.0.2.1:5", NOW)
        await gateway.reconcile()
        gateway.plane.peers.clear()
        await gateway.reconcile()
        outdated = await gateway.plane.show()
        await gateway.devices.revoke(KEYS[0])
        await gateway.peers.reconcile(outdated, gateway.devices)
        assert gateway.plane.peers == {}

    async def test_what_failed_is_looked_at_soon(self, gateway: Gateway) -> None:
        gateway.plane.broken = True
        await register(gateway)
        assert gateway.peers.is_unsettled
        gateway.plane.broken = False
        await gateway.reconcile()
        assert gateway.peers.is_unsettled, "what was put right is seen once more"
        await gateway.reconcile()
        assert not gateway.peers.is_unsettled

    async def test_a_full_disk_ends_no_look_and_is_told_once(
        self, gateway: Gateway, caplog: pytest.LogCaptureFixture
    ) -> None:
        for key in KEYS[:2]:
            await register(gateway, key)
        gateway.fill_the_disk()
        for port in range(3):
            gateway.plane.handshake(KEYS[0], f"192.0.2.1:{port}", NOW + port)
            await gateway.reconcile()
        del gateway.plane.peers[KEYS[1]]
        await gateway.reconcile()
        gateway.fill_the_disk(full=False)
        assert gateway.plane.peers.keys() == set(KEYS[:2]), "what is mandatory goes on"
        assert caplog.text.count("cannot be kept") == 1
        while (device := await gateway.devices.find(KEYS[0])).endpoint is None:  # after a pause, and without a new look
            await gateway.reconcile()
        assert (device.endpoint, device.last_handshake) == ("192.0.2.1:2", NOW + 2)

    async def test_the_time_of_handshakes_is_counted(self, gateway: Gateway) -> None:
        for key, ago in zip(KEYS, (0, 180, 181), strict=False):
            await register(gateway, key)
            gateway.plane.handshake(key, "192.0.2.1:5", NOW - ago)
        await register(gateway, KEYS[3])
        await gateway.reconcile()
        assert [gateway.peers.heard_within(seconds) for seconds in (180, 900)] == [2, 3]

    async def test_where_devices_were_seen_outlives_the_agent(self, gateway: Gateway) -> None:
        await register(gateway)
        gateway.plane.handshake(KEYS[0], "192.0.2.1:5", NOW)
        await gateway.reconcile()
        before = await gateway.devices.find(KEYS[0])
        assert (before.endpoint, before.last_handshake) == ("192.0.2.1:5", NOW)
        gateway.crash()
        assert await gateway.devices.find(KEYS[0]) == before
