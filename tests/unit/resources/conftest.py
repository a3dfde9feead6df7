"""A Headscale of each form that its API has had, a cluster, and providers that are connected to both."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from gateway.headscale import polling
from infra.resources.connections import API_KEY, API_KEY_SECRET
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import Connect, FakeConnections, P


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "INTERVAL", 0.01)


@pytest.fixture(autouse=True)
def _own_traceback_limit() -> Iterator[None]:
    """An error that hides its frames lives on in pytest's report, where it would hide those of other tests."""
    yield
    vars(sys).pop("tracebacklimit", None)


@pytest.fixture(params=["0.29", "0.26", "0.25", "0.23"])
def server(request: pytest.FixtureRequest) -> FakeHeadscale:
    return FakeHeadscale(request.param)


@pytest.fixture
def cluster(server: FakeHeadscale) -> FakeCluster:
    """Holds the Secret of a working API key."""
    cluster = FakeCluster()
    key = server.new_api_key(datetime.now(UTC) + timedelta(days=1))
    cluster.apply_secret("meshgate", API_KEY_SECRET, {API_KEY: key})
    return cluster


@pytest.fixture
def connect(server: FakeHeadscale, cluster: FakeCluster) -> Connect:
    def connect(kind: type[P]) -> P:
        provider = kind()
        provider.connect = lambda: FakeConnections(server, cluster)
        return provider

    return connect
