"""What a scrape tells, of any protocol."""

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from gateway.agent.devices import Devices
from gateway.agent.metrics import make_registry
from gateway.agent.protocol import Traffic
from gateway.agent.registration import Registration
from gateway.agent.store import Store
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, key_pair

NETWORKS = (ip_network("10.77.0.0/29"),)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "peers.sqlite")
    yield store
    store.close()


def scrape(devices: Devices, access: FakeAccess) -> dict[str, float]:
    lines = generate_latest(make_registry(devices, access)).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


async def test_devices_handshakes_and_traffic_are_summed_up(store: Store) -> None:
    access = FakeAccess()
    devices = Devices(store, access, NETWORKS, SERVER_KEY)
    await devices.register(Registration(public_key=key_pair().public))
    access.heard = {180: 1, 900: 1, 3600: 2, 86400: 2}
    access.passed = Traffic(received=5, sent=7)
    found = scrape(devices, access)
    assert (found["meshgate_peers"], found["meshgate_peers_limit"]) == (1, 5)
    within = {seconds: found[f'meshgate_peers_handshake_within{{seconds="{seconds}"}}'] for seconds in (180, 900, 3600)}
    assert within == {180: 1, 900: 1, 3600: 2}
    assert found["meshgate_tunnel_received_bytes_total"] == 5
    assert found["meshgate_tunnel_sent_bytes_total"] == 7


def test_without_a_tunnel_no_traffic_is_claimed(store: Store) -> None:
    found = scrape(Devices(store, FakeAccess(), NETWORKS, SERVER_KEY), FakeAccess())
    assert found["meshgate_peers"] == 0
    assert not [name for name in found if name.startswith("meshgate_tunnel")]
