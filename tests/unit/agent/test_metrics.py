"""What a scrape tells, of any protocol."""

import tomllib
from collections.abc import Iterator
from ipaddress import ip_network
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import gateway
from gateway.agent import measures, metrics
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.metrics import make_registry
from gateway.agent.protocol import Traffic
from gateway.agent.registration import Registration
from gateway.agent.stores.sqlite import SqliteStore
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, key_pair

NETWORKS = (ip_network("10.77.0.0/29"),)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "peers.sqlite")
    yield store
    store.close()


def scrape(devices: Devices, access: FakeAccess) -> dict[str, float]:
    lines = generate_latest(make_registry(devices, access)).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


async def test_devices_handshakes_and_traffic_are_summed_up(store: SqliteStore) -> None:
    access = FakeAccess()
    devices = Devices(store, access, NETWORKS, SERVER_KEY)
    await devices.register(Registration(public_key=key_pair().public))
    access.heard = {180: 1, 900: 1, 3600: 2, 86400: 2}
    access.passed = Traffic(received=5, sent=7)
    found = scrape(devices, access)
    assert (found["meshgate_peers"], found["meshgate_pool_addresses"]) == (1, 5)
    within = {seconds: found[f'meshgate_peers_handshake_within{{seconds="{seconds}"}}'] for seconds in (180, 900, 3600)}
    assert within == {180: 1, 900: 1, 3600: 2}
    assert found["meshgate_tunnel_received_bytes_total"] == 5
    assert found["meshgate_tunnel_sent_bytes_total"] == 7


def test_without_a_tunnel_no_traffic_is_claimed(store: SqliteStore) -> None:
    found = scrape(Devices(store, FakeAccess(), NETWORKS, SERVER_KEY), FakeAccess())
    assert found["meshgate_peers"] == 0
    assert not [name for name in found if name.startswith("meshgate_tunnel")]


def test_without_a_previous_key_nobody_is_said_to_have_left_it(store: SqliteStore) -> None:
    found = scrape(Devices(store, FakeAccess(), NETWORKS, SERVER_KEY), FakeAccess())
    assert "meshgate_peers_on_previous_key" not in found
    found = scrape(Devices(store, FakeAccess(), NETWORKS, SERVER_KEY, key_pair().public), FakeAccess())
    assert found["meshgate_peers_on_previous_key"] == 0


def test_every_metric_is_described_with_its_labels(store: SqliteStore) -> None:
    """What docs/reference.md says is what a scrape tells."""
    devices, access = Devices(store, FakeAccess(), NETWORKS, SERVER_KEY, key_pair().public), FakeAccess()
    access.passed = Traffic(received=5, sent=7)
    told = {family.name: family for family in make_registry(devices, access).collect()}
    described = {metric.name.removesuffix("_total"): metric for metric in metrics.described()}
    assert {name for name in told if name.startswith("meshgate")} == set(described)
    for name, metric in described.items():
        labels = {label for sample in told[name].samples for label in sample.labels} - {"le"}
        assert labels <= set(metric.labels), name
        assert metric.text.endswith(".")


def test_no_label_has_values_without_end() -> None:
    labels = {label for metric in metrics.described() for label in metric.labels}
    of_events = {"part", "outcome", "repair", "listener", "limit", "method", "route", "status"}
    assert labels == {*of_events, "seconds", "setting", "version", "python"}


def test_what_can_be_counted_is_there_before_it_happens(store: SqliteStore) -> None:
    """Else `increase` would miss the first event."""
    found = scrape(Devices(store, FakeAccess(), NETWORKS, SERVER_KEY), FakeAccess())
    for name in (
        'meshgate_registrations_total{outcome="failed"}',
        'meshgate_revocations_total{outcome="done"}',
        'meshgate_peers_repaired_total{repair="removed"}',
        "meshgate_store_errors_total",
        "meshgate_interface_appearances_total",
        'meshgate_problem{part="mesh"}',
    ):
        assert name in found


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert gateway.__version__ == project["version"]


@pytest.mark.parametrize(
    ("told", "expiry"),
    [
        ({"Self": {"KeyExpiry": "2026-11-26T08:00:00.5Z"}}, 1795680000.5),
        ({"Self": {}}, measures.NEVER),
        ({}, measures.NEVER),
        ({"Self": {"KeyExpiry": "soon"}}, None),
        ({"Self": {"KeyExpiry": 7}}, None),
        ({"Self": None}, None),
    ],
)
def test_the_expiry_of_the_key_in_the_mesh(told: dict[str, Any], expiry: float | None) -> None:
    measures.mesh_key(told)
    registry = CollectorRegistry()
    registry.register(measures.MESH_KEY_EXPIRY)
    found = registry.get_sample_value("meshgate_mesh_key_expiry_timestamp_seconds")
    assert found is not None
    assert isnan(found) if expiry is None else found == expiry


async def test_a_look_is_timed_or_counted_as_failed() -> None:
    registry = CollectorRegistry()
    for measure in (measures.LOOK_SECONDS, measures.LOOK_ERRORS):
        registry.register(measure)

    def counted() -> tuple[float, float]:
        names = ("meshgate_interface_look_seconds_count", "meshgate_interface_look_errors_total")
        looks, errors = (registry.get_sample_value(name) or 0 for name in names)
        return looks, errors

    @measures.looked
    async def look(error: Exception | None) -> None:
        if error:
            raise error

    looks, errors = counted()
    await look(None)
    with pytest.raises(CommandError):
        await look(CommandError("wg is away"))
    assert counted() == (looks + 1, errors + 1)
