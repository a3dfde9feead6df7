"""The gate between a gateway that is declared and those who need it."""

from typing import Any

import pytest

from infra.resources.base import ResourceError
from infra.resources.readiness import ReadinessProvider
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import UNKNOWN, Connect

INPUTS: dict[str, Any] = {
    "namespace": "meshgate",
    "deployment": "gw",
    "revision": "uid/1",
    "deadline_seconds": 0.0,
    "ready": None,
    "why": None,
    "stood": None,
}
JUDGED = INPUTS | {"judged": True}
READY = {"ready": True, "why": "", "stood": True}


@pytest.fixture
def provider(connect: Connect, cluster: FakeCluster) -> ReadinessProvider:
    cluster.add_deployment("meshgate", "gw", {"tailscale": [], "agent": []})
    return connect(ReadinessProvider)


def test_life(provider: ReadinessProvider, cluster: FakeCluster) -> None:
    made = provider.create(dict(INPUTS))
    assert (made.id, made.outs) == ("meshgate/gw", {**INPUTS, **READY})
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
    said = str(raised.value)
    assert (provider.create(dict(JUDGED)).outs or {})["why"] == said, "told by a verdict"
    assert said.splitlines() == [
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


def test_what_is_judged_holds_nobody_up_and_is_waited_for_again(
    provider: ReadinessProvider, cluster: FakeCluster
) -> None:
    cluster.rolls_out = False
    failed = provider.create(dict(JUDGED)).outs or {}
    assert (failed["ready"], failed["stood"]) == (False, False)
    assert (provider.read("meshgate/gw", failed).outs or {})["why"] == failed["why"]
    assert provider.diff("meshgate/gw", failed, JUDGED).changes
    cluster.rolls_out = True
    well = {**JUDGED, **READY}
    assert provider.read("meshgate/gw", failed).outs == well, "it came late"
    assert provider.update("meshgate/gw", failed, JUDGED).outs == well
    assert not provider.diff("meshgate/gw", well, JUDGED).changes


@pytest.mark.parametrize("before", [READY, {"ready": True}], ids=["now", "made by an older program"])
def test_what_stood_once_is_remembered(
    provider: ReadinessProvider, cluster: FakeCluster, before: dict[str, object]
) -> None:
    cluster.rolls_out = False
    before = {name: value for name, value in JUDGED.items() if name not in READY} | before
    for _ in range(2):
        before = provider.update("meshgate/gw", before, JUDGED).outs or {}
        assert (before["ready"], before["stood"], bool(before["why"])) == (False, True, True)


def test_nobody_waits_for_what_is_known_not_to_join(provider: ReadinessProvider, cluster: FakeCluster) -> None:
    """And its exit node says why."""
    held_up = JUDGED | {"held_up": "Gateway gw is no exit node."}
    for rolls_out in (True, False):
        cluster.rolls_out = rolls_out
        made = provider.create(dict(held_up)).outs or {}
        assert (made["ready"], made["why"], made["stood"]) == (False, "", False)
        assert provider.read("meshgate/gw", made).outs == made, "until the next `up` looks for its node"
        assert provider.diff("meshgate/gw", made, JUDGED).changes
