"""The agent as OpenVPN's allow-list: real server, stock clients, certificates alone."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.agent.command import CommandError
from gateway.agent.protocols.openvpn.sessions import Sessions
from tests.contract.agent.openvpn_world import GATEWAY_4, GATEWAY_6, AllowList, OpenVpnWorld
from tests.deadlines import wait_for
from tests.pings import pinging

REFUSED = "AUTH_FAILED,device is not on the list"
RETRIES = "auth-retry nointeract"
"""A client with this does not end when it is refused."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[OpenVpnWorld]:
    assert os.geteuid() == 0, "this test makes network namespaces: run it as root"
    world = OpenVpnWorld(tmp_path)
    try:
        yield world
    finally:
        world.delete()


@pytest.fixture
def allowed() -> AllowList:
    return AllowList()


@asynccontextmanager
async def agent(world: OpenVpnWorld, allowed: AllowList) -> AsyncIterator[Sessions]:
    """What keeps the sessions, for the time of the block."""
    sessions = Sessions(world.socket, world.authority.issuer.fingerprint, allowed)
    keeping = asyncio.create_task(sessions.keep())
    try:
        await come_true(lambda: sessions.is_kept, "the conversation")
        yield sessions
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def come_true(condition: Callable[[], bool], what: str, within: float = 10) -> None:
    await asyncio.to_thread(wait_for, condition, what, within)


async def test_who_is_on_the_list_gets_its_addresses_and_nobody_else_gets_in(
    world: OpenVpnWorld, allowed: AllowList
) -> None:
    phone, stranger = world.authority.issue(), world.authority.issue()
    namesake = world.authority.certify(phone.key, world.authority.other)
    allowed.add(phone, 17)
    world.start()
    async with agent(world, allowed):
        client = world.connect(phone)
        await come_true(client.is_up, "the client")
        assert client.addresses() == {"10.90.0.17", "fd00:90::11"}
        for address in (GATEWAY_4, GATEWAY_6):
            assert await asyncio.to_thread(client.reaches, address)
        for certificate in (stranger, namesake):
            refused = world.connect(certificate)
            assert await asyncio.to_thread(refused.process.wait, 10) == 0
            assert refused.says(REFUSED)
        assert await asyncio.to_thread(client.reaches, GATEWAY_4), "who is refused ends nobody's session"


async def test_who_is_revoked_is_out_at_once_and_told_so(world: OpenVpnWorld, allowed: AllowList) -> None:
    phone, tablet = world.authority.issue(), world.authority.issue()
    allowed.add(phone, 17)
    allowed.add(tablet, 18)
    world.start()
    async with agent(world, allowed) as sessions:
        client, other = world.connect(phone), world.connect(tablet)
        await come_true(lambda: client.is_up() and other.is_up(), "both clients")
        with pinging(other.namespace.inside, GATEWAY_6, 0.05) as pings:
            del allowed.devices[phone.name]
            await sessions.end([phone.name])
            assert not await asyncio.to_thread(client.reaches, GATEWAY_4)
            await come_true(lambda: client.says(REFUSED), "the refusal", within=5)
        assert pings.lost == []
        await sessions.end([phone.name, "nobody"])


async def test_renewed_keys_are_asked_for_again(world: OpenVpnWorld, allowed: AllowList) -> None:
    phone = world.authority.issue()
    allowed.add(phone, 17)
    world.start("reneg-sec 3")
    async with agent(world, allowed):
        client = world.connect(phone)
        await come_true(client.is_up, "the client")
        with pinging(client.namespace.inside, GATEWAY_4, 0.1) as pings:
            await asyncio.sleep(8)
            assert client.process.poll() is None
        assert pings.longest_gap_s < 1, "of the packets on their way when keys change, OpenVPN loses one now and then"
        del allowed.devices[phone.name]
        await come_true(lambda: client.process.poll() is not None, "the end of the client", within=20)


async def test_while_no_agent_is_there_sessions_go_on_and_the_next_one_sees_to_the_rest(
    world: OpenVpnWorld, allowed: AllowList
) -> None:
    stays, goes, comes = (world.authority.issue() for _ in range(3))
    for number, certificate in enumerate((stays, goes), 17):
        allowed.add(certificate, number)
    world.start()
    async with agent(world, allowed) as sessions:
        staying, going = world.connect(stays), world.connect(goes)
        await come_true(lambda: staying.is_up() and going.is_up(), "both clients")
    with pytest.raises(CommandError, match="does not talk to the agent"):
        await sessions.end([goes.name])
    with pinging(staying.namespace.inside, GATEWAY_4, 0.1) as pings:
        del allowed.devices[goes.name]
        allowed.add(comes, 19)
        coming = world.connect(comes)
        await asyncio.sleep(3)
        assert not coming.is_up(), "nobody new gets in without the agent"
        async with agent(world, allowed):
            await come_true(coming.is_up, "the client that came meanwhile")
            assert not await asyncio.to_thread(going.reaches, GATEWAY_4)
    assert pings.lost == []


async def test_a_killed_server_is_served_again(world: OpenVpnWorld, allowed: AllowList) -> None:
    phone = world.authority.issue()
    allowed.add(phone, 17)
    world.start()
    async with agent(world, allowed) as sessions:
        client = world.connect(phone, RETRIES)
        await come_true(client.is_up, "the client")
        assert world.process is not None
        world.process.send_signal(signal.SIGKILL)
        world.process.wait()
        await come_true(lambda: not sessions.is_kept, "the end of the conversation")
        world.start()
        await come_true(lambda: sessions.is_kept, "the conversation")
        await come_true(lambda: client.reaches(GATEWAY_4), "the client", within=20)


async def test_keys_that_are_renewed_while_no_agent_is_there_log_nobody_out(
    world: OpenVpnWorld, allowed: AllowList
) -> None:
    phone = world.authority.issue()
    allowed.add(phone, 17)
    world.start("reneg-sec 20", "hand-window 8", "keepalive 10 60", "verb 3")
    async with agent(world, allowed):
        client = world.connect(phone)
        await come_true(client.is_up, "the client")
    await come_true(lambda: world.says("TLS: soft reset"), "a renewal", within=30)
    await asyncio.sleep(1)
    async with agent(world, allowed):
        await asyncio.sleep(12)
        assert client.process.poll() is None, "it would have ended: AUTH_FAILED"
        assert not client.says("AUTH_FAILED")
        await come_true(lambda: client.reaches(GATEWAY_4), "the client's packets", within=20)
