"""One suite for the data plane's two implementations, wg and the fake, so that the fake cannot lie."""

from collections.abc import Iterator

import pytest

from gateway.agent.command import CommandError
from gateway.agent.protocol import AwayError
from gateway.agent.protocols.wireguard.sockets import listens
from gateway.agent.protocols.wireguard.wg import CHUNK, SeenPeer, WantedPeer, WireGuard
from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.world import World
from tests.deadlines import wait_for
from tests.unit.agent.fakes import FakeDataPlane, key_pair

ADDRESSES = ("10.77.0.2/32", "fd77::2/128")
PRESHARED = key_pair().public
ENDPOINT = "192.0.2.1:40000"


@pytest.fixture(params=["fake", "wg"])
def plane(request: pytest.FixtureRequest) -> Iterator[FakeDataPlane | WireGuard]:
    if request.param == "fake":
        yield FakeDataPlane()
        return
    world: World = request.getfixturevalue("fresh_world")
    world.start_interface()
    wait_for(lambda: listens(world.interface), "the interface")
    with in_namespace(world.gateway.name):
        yield WireGuard(world.interface)


async def peer(plane: FakeDataPlane | WireGuard, key: str) -> SeenPeer:
    found = (await plane.show()).peer(key)
    assert found is not None
    return found


async def test_what_goes_in_is_seen(plane: FakeDataPlane | WireGuard) -> None:
    key = key_pair().public
    await plane.add_peers([WantedPeer(key, ADDRESSES, PRESHARED, ENDPOINT, 25)])
    seen = await peer(plane, key)
    assert (seen.allowed_ips, seen.preshared_key) == (frozenset(ADDRESSES), PRESHARED)
    assert (seen.endpoint, seen.keepalive, seen.last_handshake) == (ENDPOINT, 25, 0)

    await plane.set_peer(WantedPeer(key, ("10.77.0.3/32",)))
    seen = await peer(plane, key)
    assert (seen.allowed_ips, seen.preshared_key) == (frozenset({"10.77.0.3/32"}), None)
    assert (seen.endpoint, seen.keepalive) == (ENDPOINT, 25), "set_peer leaves these alone"

    await plane.add_peers([WantedPeer(key, ADDRESSES, PRESHARED)])
    assert (await peer(plane, key)).keepalive == 0
    await plane.add_peers([WantedPeer(key, ADDRESSES)])
    seen = await peer(plane, key)
    assert (seen.allowed_ips, seen.preshared_key, seen.endpoint) == (frozenset(ADDRESSES), None, ENDPOINT)


async def test_an_interface_that_went_away_is_told_from_one_that_fails(
    request: pytest.FixtureRequest, plane: FakeDataPlane | WireGuard
) -> None:
    await plane.set_peer(WantedPeer(key_pair().public, ADDRESSES))
    if isinstance(plane, FakeDataPlane):
        plane.go_away()
    else:
        with pytest.raises(CommandError) as failed:
            await plane.set_peer(WantedPeer(key_pair().public, ("no address",)))
        assert not isinstance(failed.value, AwayError)
        holder = request.getfixturevalue("fresh_world").holder
        holder.terminate()
        holder.wait(5)
    for change in (plane.show(), plane.set_peer(WantedPeer(key_pair().public, ADDRESSES)), plane.remove_peers(["x"])):
        with pytest.raises(AwayError, match=r"the interface .* does not exist"):
            await change


async def test_removal_also_of_strangers(plane: FakeDataPlane | WireGuard) -> None:
    stays, goes = key_pair().public, key_pair().public
    await plane.set_peer(WantedPeer(stays, ADDRESSES))
    await plane.set_peer(WantedPeer(goes, ("10.77.0.3/32",)))
    await plane.remove_peers([goes, key_pair().public])
    assert (await plane.show()).lines.keys() == {stays}


async def test_more_than_one_call_takes(plane: FakeDataPlane | WireGuard) -> None:
    keys = [key_pair().public for _ in range(CHUNK + 1)]
    peers = [WantedPeer(key, (f"10.77.{n // 256}.{n % 256}/32",), None, ENDPOINT, 25) for n, key in enumerate(keys)]
    await plane.add_peers(peers)
    assert (await plane.show()).lines.keys() == set(keys)
    await plane.remove_peers(keys)
    assert (await plane.show()).lines == {}
