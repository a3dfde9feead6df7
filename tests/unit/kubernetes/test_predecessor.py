"""A Deployment of the same name that is on its way out."""

import threading

import pytest

from infra.kubernetes import predecessor
from infra.kubernetes.predecessor import PredecessorError
from tests.unit.resources.fake_cluster import FakeCluster


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_deployment("meshgate", "gw", {"agent": []})
    return cluster


def test_one_that_stays_is_nobodys_predecessor(cluster: FakeCluster) -> None:
    predecessor.wait_for_end(cluster, "meshgate", "gw")
    predecessor.wait_for_end(cluster, "meshgate", "another")


def test_its_end_is_waited_for(cluster: FakeCluster) -> None:
    cluster.deployments["meshgate", "gw"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    threading.Timer(0.2, cluster.deployments.clear).start()
    predecessor.wait_for_end(cluster, "meshgate", "gw")
    assert not cluster.deployments


def test_one_that_does_not_end_is_told(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predecessor, "END_SECONDS", 0)
    cluster.deployments["meshgate", "gw"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    with pytest.raises(PredecessorError, match="meshgate/gw is being deleted and has not ended after 0 s"):
        predecessor.wait_for_end(cluster, "meshgate", "gw")
