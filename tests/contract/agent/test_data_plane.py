"""One suite for the data plane's two implementations, wg and the fake, so that the fake cannot lie.

And nft's own word on every shape of the firewall.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.agent.firewall import rules
from gateway.agent.settings import BLOCKED_NETWORKS, Settings
from gateway.agent.wireguard import CHUNK, WantedPeer, WireGuard, listens
from tests.contract.agent.world import Namespace, World, in_namespace
from tests.deadlines import wait_for
from tests.unit.agent.fakes import SERVER_KEY, FakeDataPlane, key_pair

ADDRESSES = ("10.77.0.2/32", "fd77::2/128")
PRESHARED = key_pair().public
ENDPOINT = "192.0.2.1:40000"


@pytest.fixture(params=["fake", "wg"])
def plane(request: pytest.FixtureRequest) -> Iterator[FakeDataPlane | WireGuard]:
    if request.param == "fake":
        yield FakeDataPlane()
        return
    world: World = request.getfixturevalue("fresh_world")
    world.start_device()
    wait_for(lambda: listens(world.interface), "the interface")
    with in_namespace(world.gateway.name):
        yield WireGuard(world.interface)


async def test_what_goes_in_is_seen(plane: FakeDataPlane | WireGuard) -> None:
    key = key_pair().public
    await plane.add_peers([WantedPeer(key, ADDRESSES, PRESHARED, ENDPOINT, 25)])
    seen = (await plane.show()).peers[key]
    assert (seen.allowed_ips, seen.preshared_key) == (frozenset(ADDRESSES), PRESHARED)
    assert (seen.endpoint, seen.keepalive, seen.last_handshake) == (ENDPOINT, 25, 0)

    await plane.set_peer(WantedPeer(key, ("10.77.0.3/32",)))
    seen = (await plane.show()).peers[key]
    assert (seen.allowed_ips, seen.preshared_key) == (frozenset({"10.77.0.3/32"}), None)
    assert (seen.endpoint, seen.keepalive) == (ENDPOINT, 25), "set_peer leaves these alone"

    await plane.stop_keepalives([key])
    assert (await plane.show()).peers[key].keepalive == 0
    await plane.add_peers([WantedPeer(key, ADDRESSES, PRESHARED)])
    await plane.add_peers([WantedPeer(key, ADDRESSES)])
    seen = (await plane.show()).peers[key]
    assert (seen.allowed_ips, seen.preshared_key, seen.endpoint) == (frozenset(ADDRESSES), None, ENDPOINT)


async def test_removal_also_of_strangers(plane: FakeDataPlane | WireGuard) -> None:
    stays, goes = key_pair().public, key_pair().public
    await plane.set_peer(WantedPeer(stays, ADDRESSES))
    await plane.set_peer(WantedPeer(goes, ("10.77.0.3/32",)))
    await plane.remove_peers([goes, key_pair().public])
    assert (await plane.show()).peers.keys() == {stays}


async def test_more_than_one_call_takes(plane: FakeDataPlane | WireGuard) -> None:
    keys = [key_pair().public for _ in range(CHUNK + 1)]
    peers = [WantedPeer(key, (f"10.77.{n // 256}.{n % 256}/32",), None, ENDPOINT, 25) for n, key in enumerate(keys)]
    await plane.add_peers(peers)
    await plane.stop_keepalives(keys)
    assert {key: peer.keepalive for key, peer in (await plane.show()).peers.items()} == dict.fromkeys(keys, 0)
    await plane.remove_peers(keys)
    assert (await plane.show()).peers == {}


@pytest.mark.parametrize("networks", ["10.77.0.0/24", "fd77::/64", "10.77.0.0/24,fd77::/64"])
@pytest.mark.parametrize("dns", ["", "100.100.100.100", "10.96.0.10,fd00::a"])
@pytest.mark.parametrize("blocked", [BLOCKED_NETWORKS, "", "10.0.0.0/8,10.1.0.0/16,::/127"])
def test_nft_takes_every_shape_of_the_firewall(tmp_path: Path, networks: str, dns: str, blocked: str | None) -> None:
    settings = Settings(
        listen_port=51820,
        endpoint="vpn.example.org:51820",
        client_networks=networks,
        dns=dns,
        private_key_file=tmp_path,
        public_key=SERVER_KEY,
        token_file=tmp_path,
        state_dir=tmp_path,
        blocked_networks=blocked,
    )
    with contextlib.closing(NftNamespace()) as namespace:
        namespace.run("nft", "-f", "-", stdin=rules(settings))
        once = namespace.run("nft", "list", "ruleset")
        namespace.run("nft", "-f", "-", stdin=rules(settings))
        assert namespace.run("nft", "list", "ruleset") == once
        assert once.count("table ") == 1


class NftNamespace(Namespace):
    """A network namespace for nft alone."""

    def __init__(self) -> None:
        super().__init__("mg-nft-test")

    def close(self) -> None:
        self.delete()
