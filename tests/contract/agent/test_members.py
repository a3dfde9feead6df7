"""Several members with one etcd: what each of them does, the others know; and what goes on while etcd is away."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.errors import DeviceUnknownError, UnavailableError
from gateway.agent.store import REVOKED, StoreError
from tests.contract.agent.etcd import EtcdCluster, etcd_cluster
from tests.contract.agent.members import KEYS, Member, eventually
from tests.contract.agent.members_life import MembersLife
from tests.deadlines import PATIENCE


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path) as cluster:
        yield cluster


@pytest.fixture
def first(etcd: EtcdCluster, tmp_path: Path) -> Member:
    return Member(etcd.urls, tmp_path / "first")


@pytest.fixture
def second(etcd: EtcdCluster, tmp_path: Path) -> Member:
    return Member([*etcd.urls[1:], etcd.urls[0]], tmp_path / "second")


@pytest.fixture
async def both(first: Member, second: Member) -> AsyncIterator[tuple[Member, Member]]:
    async with AsyncExitStack() as stack:
        yield (await stack.enter_async_context(first.running()), await stack.enter_async_context(second.running()))


async def register(member: Member, keys: list[str]) -> None:
    """As a caller does who asks until it is acknowledged."""
    for key in keys:
        while True:
            try:
                await member.register(key)
                break
            except StoreError:
                await asyncio.sleep(0.1)


async def test_each_knows_within_a_second_what_the_other_did(both: tuple[Member, Member]) -> None:
    await hears_of_the_other(*both, KEYS[0])
    await hears_of_the_other(both[1], both[0], KEYS[1])


async def hears_of_the_other(here: Member, there: Member, key: str) -> None:
    await here.register(key, "phone")
    await eventually(lambda: there.has_in(key), 1)
    assert (await there.devices.find(key)).name == "phone"
    await there.register(key, "tablet")
    await asyncio.sleep(1)
    assert (await here.devices.find(key)).name == "tablet"
    await here.devices.revoke(key)
    assert not here.has_in(key)
    await eventually(lambda: not there.has_in(key), 1)
    with pytest.raises(DeviceUnknownError):
        await there.devices.find(key)


async def test_what_is_acknowledged_here_counts_there_before_it_is_heard(both: tuple[Member, Member]) -> None:
    here, there = both
    for key in KEYS[:20]:
        await here.register(key)
        await there.devices.revoke(key)
        assert (await here.register(key)).is_new
        await there.register(key, "renamed")
        await here.devices.revoke(key)
    with pytest.raises(DeviceUnknownError):
        await there.devices.revoke(KEYS[0])
    await eventually(lambda: not here.plane.peers and not there.plane.peers, 1)


async def test_no_address_is_given_twice_however_both_hurry(both: tuple[Member, Member]) -> None:
    first, second = both
    calls = [one.register(key) for number, key in enumerate(KEYS[:60]) for one in (both if number % 3 else [first])]
    admissions = await asyncio.gather(*calls)
    numbers = {admission.device.public_key: admission.device.number for admission in admissions}
    assert len(numbers) == len(set(numbers.values())) == 60
    assert all(numbers[one.device.public_key] == one.device.number for one in admissions)
    assert sum(admission.is_new for admission in admissions) == 60
    await eventually(lambda: first.plane.peers.keys() == second.plane.peers.keys() == numbers.keys(), 2)
    assert first.plane.peers == second.plane.peers


async def test_a_device_that_another_member_renewed_does_not_end_for_one_that_has_not_heard_of_it(
    both: tuple[Member, Member],
) -> None:
    first, second = both
    await first.register(KEYS[0])
    await eventually(lambda: second.has_in(KEYS[0]), 1)
    before = await first.devices.find(KEYS[0])
    async with first.devices._changes:  # news have to wait
        await second.register(KEYS[0], "renewed")
        first.store.remove([before])  # as it does when the time is over
    await eventually(lambda: first.devices._by_key[KEYS[0]].name == "renewed", 1)
    assert first.has_in(KEYS[0])
    assert second.has_in(KEYS[0])
    async with first.devices._changes:
        await second.register(KEYS[0], "renewed again")
        first.store.remove([replace(before, expires_at=REVOKED)])
    await eventually(lambda: not second.has_in(KEYS[0]), 1)


async def test_a_member_that_was_away_takes_up_what_it_missed(
    both: tuple[Member, Member], first: Member, tmp_path: Path
) -> None:
    _, other = both
    for key in KEYS[:5]:
        await first.register(key)
    third = Member(first.urls, tmp_path / "third")
    async with third.running():
        assert await third.knows(KEYS[4])
    await first.devices.revoke(KEYS[0])
    await other.register(KEYS[5])
    await other.register(KEYS[1], "renamed")
    async with third.running():
        assert not await third.knows(KEYS[0])
        assert await third.knows(KEYS[5])
        assert (await third.devices.find(KEYS[1])).name == "renamed"
        await eventually(lambda: third.plane.peers.keys() == set(KEYS[1:6]), 2)


async def test_a_killed_leader_costs_no_acknowledged_registration(
    etcd: EtcdCluster, both: tuple[Member, Member]
) -> None:
    registering = asyncio.gather(register(both[0], KEYS[:60]), register(both[1], KEYS[60:120]))
    await asyncio.sleep(0.3)
    etcd.kill(etcd.leader())
    async with asyncio.timeout(30 * PATIENCE):
        await registering
    await eventually(lambda: both[0].plane.peers == both[1].plane.peers and len(both[0].plane.peers) == 120, 5)


class TestWithoutQuorum:
    SENTENCE = "has no quorum: start its members until more than half of them run and reach each other"

    async def test_registration_is_refused_with_the_remedy_and_all_stay_in(
        self, etcd: EtcdCluster, both: tuple[Member, Member]
    ) -> None:
        first, second = both
        await first.register(KEYS[0])
        await eventually(lambda: second.has_in(KEYS[0]), 1)
        etcd.kill(0, 1)
        for member in both:
            with pytest.raises(StoreError, match=self.SENTENCE):
                await member.register(KEYS[1])
            (problem,) = await member.devices.store_problems()
            assert self.SENTENCE in problem
            started = time.monotonic()
            with pytest.raises(StoreError, match=self.SENTENCE):
                await member.register(KEYS[1])
            assert time.monotonic() - started < 0.5  # it is known by now, and nobody waits
            assert member.plane.peers.keys() == {KEYS[0]}
        etcd.start(0, 1)
        await eventually(lambda: first.store.trouble is second.store.trouble is None, 15)
        await first.register(KEYS[1])
        await eventually(lambda: second.has_in(KEYS[1]), 1)
        assert await second.devices.store_problems() == []

    async def test_a_revocation_shuts_out_at_once_and_is_made_up_for(
        self, etcd: EtcdCluster, first: Member, second: Member
    ) -> None:
        async with second.running():
            async with first.running():
                for key in KEYS[:3]:
                    await first.register(key)
                await eventually(lambda: len(second.plane.peers) == 3, 1)
                etcd.kill(1, 2)
                with pytest.raises(UnavailableError, match="shut out here, and by the other members as soon as"):
                    await first.devices.revoke(KEYS[0])
                assert not first.has_in(KEYS[0])
                assert first.has_in(KEYS[1])
            async with first.running():  # the next agent on this volume knows it, too
                assert not await first.knows(KEYS[0])
                assert await first.knows(KEYS[1])
                assert not first.has_in(KEYS[0])
                etcd.start(1, 2)
                await eventually(lambda: not second.has_in(KEYS[0]), 15)
                assert second.plane.peers.keys() == first.plane.peers.keys() == {KEYS[1], KEYS[2]}
                await second.register(KEYS[0], "anew")
                await eventually(lambda: first.has_in(KEYS[0]), 1)

    async def test_a_revocation_does_not_wait_for_a_registration_that_does(
        self, etcd: EtcdCluster, both: tuple[Member, Member]
    ) -> None:
        member, _ = both
        await member.register(KEYS[0])
        etcd.freeze(0)
        etcd.freeze(1)
        etcd.freeze(2)
        waiting = asyncio.create_task(member.register(KEYS[1]))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        revoking = asyncio.create_task(member.devices.revoke(KEYS[0]))
        await eventually(lambda: not member.has_in(KEYS[0]), 0.5)
        assert not waiting.done()
        assert time.monotonic() - started < 0.5
        outcomes = await asyncio.gather(waiting, revoking, return_exceptions=True)
        assert [type(one) for one in outcomes] == [type(outcomes[0]), UnavailableError]
        assert isinstance(outcomes[0], StoreError)

    async def test_a_member_without_a_copy_does_not_begin(self, etcd: EtcdCluster, first: Member) -> None:
        etcd.kill(0, 1)
        with pytest.raises(StoreError, match=self.SENTENCE):
            async with first.running():
                pass


async def test_a_member_of_etcd_that_hangs_is_left_for_another(etcd: EtcdCluster, both: tuple[Member, Member]) -> None:
    first, second = both
    await first.register(KEYS[0])
    await eventually(lambda: second.has_in(KEYS[0]), 1)
    etcd.freeze(etcd.leader())
    await register(first, [KEYS[1]])
    await eventually(lambda: second.has_in(KEYS[1]), 10)
    await register(second, [KEYS[2]])
    await eventually(lambda: first.has_in(KEYS[2]), 10)
    await second.devices.revoke(KEYS[0])
    await eventually(lambda: not first.has_in(KEYS[0]), 1)


async def test_an_emptied_etcd_shuts_nobody_out(first: Member, etcd: EtcdCluster, tmp_path: Path) -> None:
    async with first.running():
        await first.register(KEYS[0])
    first.prefix = "another"
    async with first.running():
        with pytest.raises(StoreError, match="has nothing below another/ any more, and this member knows devices"):
            await first.register(KEYS[1])
        assert first.plane.peers.keys() == {KEYS[0]}


async def test_two_who_cannot_be_shut_out_are_later(both: tuple[Member, Member]) -> None:
    first, second = both
    await first.register(KEYS[0])
    await eventually(lambda: second.has_in(KEYS[0]), 1)
    second.plane.broken = True
    await first.devices.revoke(KEYS[0])
    await asyncio.sleep(1)
    assert second.has_in(KEYS[0])
    assert not await second.knows(KEYS[0])
    second.plane.broken = False
    await eventually(lambda: not second.has_in(KEYS[0]), 2)
    assert await first.register(KEYS[0])
    await eventually(lambda: second.has_in(KEYS[0]), 1)


async def test_what_etcd_has_forgotten_is_asked_for_as_a_whole(
    etcd: EtcdCluster, first: Member, second: Member
) -> None:
    async with first.running(), second.running():
        await first.register(KEYS[0])
    async with second.running():
        await second.devices.revoke(KEYS[0])
        await second.register(KEYS[1])
        revision = second.store._copy.state.revision
        second.store._etcd.call("/v3/kv/compaction", {"revision": str(revision)})
    async with first.running():
        await eventually(lambda: first.plane.peers.keys() == {KEYS[1]}, 2)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(2))
async def test_nothing_acknowledged_is_lost_whatever_dies(etcd: EtcdCluster, tmp_path: Path, seed: int) -> None:
    await MembersLife(random.Random(seed), etcd, tmp_path).live(steps=50)  # noqa: S311 - no secret
