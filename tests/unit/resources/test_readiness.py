"""The gate between a gateway that is declared and those who need it."""

import pytest

from infra.resources.base import ResourceError
from infra.resources.readiness import ReadinessProvider
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import UNKNOWN, Connect

INPUTS = {"namespace": "meshgate", "deployment": "gw", "revision": "uid/1", "deadline_seconds": 0.0, "ready": None}


@pytest.fixture
def provider(connect: Connect, cluster: FakeCluster) -> ReadinessProvider:
    cluster.add_deployment("meshgate", "gw", {"tailscale": [], "agent": []})
    return connect(ReadinessProvider)


def test_life(provider: ReadinessProvider, cluster: FakeCluster) -> None:
    made = provider.create(dict(INPUTS))
    assert (made.id, made.outs) == ("meshgate/gw", {**INPUTS, "ready": True})
    assert provider.read(made.id, made.outs or {}).outs == made.outs
    assert not provider.diff(made.id, made.outs or {}, INPUTS).changes
    for revision in ("uid/2", UNKNOWN):
        diff = provider.diff(made.id, made.outs or {}, {**INPUTS, "revision": revision})
        assert diff.changes, "each change is waited for"
        assert not diff.replaces
    provider.delete(made.id, made.outs or {})


def test_what_a_refresh_finds_unready_is_waited_for(provider: ReadinessProvider, cluster: FakeCluster) -> None:
    made = provider.create(dict(INPUTS)).outs or {}
    cluster.rolls_out = False
    seen = provider.read("meshgate/gw", made).outs or {}
    assert provider.diff("meshgate/gw", seen, INPUTS).changes
    cluster.rolls_out = True
    assert provider.update("meshgate/gw", seen, INPUTS).outs == made
    cluster.deployments.clear()
    assert provider.read("meshgate/gw", made).id == ""


def test_what_starts_and_does_not_get_ready_says_why(provider: ReadinessProvider, cluster: FakeCluster) -> None:
    cluster.rolls_out, cluster.log = False, "invalid key: authkey already used"
    with pytest.raises(ResourceError) as raised:
        provider.create(dict(INPUTS))
    said = str(raised.value).splitlines()
    assert said == [
        "Deployment meshgate/gw is not ready 0 s after its start: 0 of 1 pods of the new version are ready.",
        "What container tailscale of Deployment meshgate/gw logged of faults and last:",
        "    invalid key: authkey already used",
        "What container agent of Deployment meshgate/gw logged of faults and last:",
        "    invalid key: authkey already used",
    ]


def test_what_does_not_start_says_why(
    provider: ReadinessProvider, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.kubernetes.rollout.START_SECONDS", 0)
    cluster.rolls_out = cluster.starts = False
    with pytest.raises(
        ResourceError, match=r"has not started after 0 s: .*container tailscale of pod gw-1 waits: Image"
    ):
        provider.create(dict(INPUTS))
