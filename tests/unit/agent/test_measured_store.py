"""Writes to the store are timed; a failure is counted, named, and found to be over by itself."""

import sqlite3
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.agent import measures
from gateway.agent.devices import Devices
from gateway.agent.store import Device, StoreError
from gateway.agent.stores.sqlite import SqliteStore
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess

FIRST = Device(number=2, public_key="first", name="a", created_at=10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peers.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


@pytest.fixture
def counted() -> Callable[[], tuple[float, float]]:
    """How many writes there were in this test, and how many of them failed."""
    registry = CollectorRegistry()
    for measure in (measures.STORE_WRITE_SECONDS, measures.STORE_ERRORS):
        registry.register(measure)

    def count() -> tuple[float, float]:
        writes = registry.get_sample_value("meshgate_store_write_seconds_count")
        errors = registry.get_sample_value("meshgate_store_errors_total")
        return (writes or 0) - before[0], (errors or 0) - before[1]

    before = (0.0, 0.0)
    before = count()
    return count


def fail(store: SqliteStore, *, failing: bool) -> None:
    """Let the store's volume be as one that takes no writes, or one that does."""
    database: sqlite3.Connection = store._db  # the only hand on the file, which is locked
    database.execute(f"PRAGMA query_only = {int(failing)}")


def test_writes_are_counted_and_reads_are_not(store: SqliteStore, counted: Callable[[], tuple[float, float]]) -> None:
    store.add(FIRST)
    store.remove([FIRST])
    store.everyone()
    assert counted() == (2, 0)
    assert store.trouble is None


def test_a_failed_write_is_named_until_one_works(
    store: SqliteStore, counted: Callable[[], tuple[float, float]]
) -> None:
    fail(store, failing=True)
    with pytest.raises(StoreError):
        store.add(FIRST)
    assert counted() == (1, 1)
    assert store.trouble is not None
    assert "cannot be written" in store.trouble
    fail(store, failing=False)
    store.add(FIRST)
    assert store.trouble is None


async def test_a_store_that_failed_is_tried_and_found_well_again(store: SqliteStore) -> None:
    devices = Devices(store, FakeAccess(), (ip_network("10.77.0.0/29"),), SERVER_KEY)
    assert await devices.store_problems() == []
    fail(store, failing=True)
    with pytest.raises(StoreError):
        store.add(FIRST)
    (sentence,) = await devices.store_problems()
    assert "cannot be written" in sentence
    fail(store, failing=False)
    assert await devices.store_problems() == []
