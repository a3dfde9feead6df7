"""WorkloadEnv on a cluster in memory; tests/contract/test_workload_env.py has it on a real API server."""

from typing import Any

import pytest

from infra.kubernetes.client import ClusterUnavailableError
from infra.resources.base import ResourceError
from infra.resources.workload_env import WorkloadEnvProvider
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import UNKNOWN, Connect, FakeConnections

WHERE = ("june-services", "june-orchestrator")
THEIRS = [{"name": "HEADSCALE_URL", "value": "http://headscale"}]
INPUTS: dict[str, Any] = {
    "namespace": "june-services",
    "deployment": "june-orchestrator",
    "container": "orchestrator",
    "values": {"HEADSCALE_SERVER_PUBLIC_KEY": "key-1"},
    "secrets": {"GATEWAY_PEERS_TOKEN": {"secret": "meshgate-gateway", "key": "token"}},
    "manager": "meshgate",
    "force": False,
    "deadline_seconds": 0.05,
}


@pytest.fixture
def cluster() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_deployment(*WHERE, {"orchestrator": list(THEIRS), "proxy": []})
    return cluster


@pytest.fixture
def provider(connect: Connect) -> WorkloadEnvProvider:
    return connect(WorkloadEnvProvider)


def test_rollout_that_fails_takes_a_new_env_back(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    cluster.rolls_out = cluster.starts = False
    with pytest.raises(ResourceError) as raised:
        provider.create(dict(INPUTS))
    assert str(raised.value).startswith(
        "Deployment june-services/june-orchestrator is not rolled out with its new env after 0 s: 0 of 1 pods of the "
        "new version are ready; container orchestrator of pod june-orchestrator-1 waits: ImagePullBackOff no such image"
    )
    assert cluster.env(*WHERE, "orchestrator") == THEIRS


def test_rollout_that_fails_on_update_is_told(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    made = provider.create(dict(INPUTS))
    cluster.rolls_out = False
    with pytest.raises(ResourceError, match="0 of 1 pods"):
        provider.update(made.id, made.outs or {}, {**INPUTS, "values": {"HEADSCALE_SERVER_PUBLIC_KEY": "key-2"}})


def test_rollout_that_fails_does_not_hold_up_delete(
    provider: WorkloadEnvProvider, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider.create(dict(INPUTS))
    cluster.rolls_out = False
    provider.delete(made.id, made.outs or {})
    assert cluster.env(*WHERE, "orchestrator") == THEIRS
    assert "is not rolled out" in caplog.text


def test_missing_deployment_is_refused_in_preview(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    (failure,) = provider.check({}, {**INPUTS, "deployment": "june"}).failures
    assert failure.property == "deployment"
    assert failure.reason.startswith("Deployment june-services/june does not exist; set orchestrator.namespace")
    (failure,) = provider.check({}, {**INPUTS, "container": "main"}).failures
    assert failure.property == "container"
    assert "has no container 'main' but orchestrator, proxy; set orchestrator.container" in failure.reason
    with pytest.raises(ResourceError, match="does not exist"):
        provider.create({**INPUTS, "deployment": "june"})


PAUSED = (
    "Deployment june-services/june-orchestrator is paused, so no pod would get the new env; "
    "`kubectl -n june-services rollout resume deployment june-orchestrator` lets it go on."
)


def test_a_paused_deployment_is_refused_in_preview(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    cluster.pause(*WHERE)
    (failure,) = provider.check({}, dict(INPUTS)).failures
    assert failure.reason == PAUSED
    with pytest.raises(ResourceError, match="is paused"):
        provider.create(dict(INPUTS))
    assert cluster.env(*WHERE, "orchestrator") == THEIRS


def test_a_deployment_that_was_paused_since_is_refused_when_its_env_changes(
    provider: WorkloadEnvProvider, cluster: FakeCluster
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    cluster.pause(*WHERE)
    assert not provider.check(dict(INPUTS), dict(INPUTS)).failures
    for value in ("key-2", UNKNOWN):
        (failure,) = provider.check(dict(INPUTS), INPUTS | {"values": {"HEADSCALE_SERVER_PUBLIC_KEY": value}}).failures
        assert failure.reason == PAUSED
    before = cluster.env(*WHERE, "orchestrator")
    with pytest.raises(ResourceError, match="is paused"):
        provider.update(made.id, made.outs, INPUTS | {"values": {"HEADSCALE_SERVER_PUBLIC_KEY": "key-2"}})
    assert cluster.env(*WHERE, "orchestrator") == before


def test_a_name_that_comes_later_is_refused_in_preview_too(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    provider.create(dict(INPUTS))
    cluster.edit_env(*WHERE, "orchestrator", [{"name": "GATEWAYS", "value": "theirs"}])
    news = INPUTS | {"values": {"HEADSCALE_SERVER_PUBLIC_KEY": "key-2", "GATEWAYS": "one,two"}}
    (failure,) = provider.check(dict(INPUTS), news).failures
    assert "already has GATEWAYS with another value" in failure.reason


def test_a_name_set_by_others_is_refused_in_preview(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    cluster.edit_env(*WHERE, "orchestrator", [{"name": "HEADSCALE_SERVER_PUBLIC_KEY", "value": "theirs"}])
    for value in ("ours", UNKNOWN):
        news = INPUTS | {"values": {"HEADSCALE_SERVER_PUBLIC_KEY": value}}
        (failure,) = provider.check({}, news).failures
        assert "already has HEADSCALE_SERVER_PUBLIC_KEY with another value" in failure.reason
        assert not provider.check({}, news | {"force": True}).failures
    assert not provider.check({}, INPUTS | {"values": {"HEADSCALE_SERVER_PUBLIC_KEY": "theirs"}}).failures


def test_a_name_that_a_killed_run_set_is_not_refused(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    provider.create(dict(INPUTS))
    assert not provider.check({}, INPUTS | {"values": {"HEADSCALE_SERVER_PUBLIC_KEY": "key-2"}}).failures


def test_a_name_without_a_value_is_none_of_the_inputs(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    """As of a gateway that has not joined: somebody else may have the name meanwhile."""
    cluster.edit_env(*WHERE, "orchestrator", [{"name": "HEADSCALE_SERVER_PUBLIC_KEY", "value": "theirs"}])
    theirs = cluster.env(*WHERE, "orchestrator")
    nothing: dict[str, Any] = {"values": {}, "secrets": {}}
    given = {
        "values": {"HEADSCALE_SERVER_PUBLIC_KEY": ""},
        "secrets": {"GATEWAY_PEERS_TOKEN": {"secret": "meshgate-gateway", "key": ""}},
    }
    checked = provider.check({}, INPUTS | given)
    assert not checked.failures
    assert checked.inputs == INPUTS | nothing
    made = provider.create(dict(checked.inputs))
    assert made.outs
    assert cluster.env(*WHERE, "orchestrator") == theirs
    assert provider.read(made.id, made.outs).outs == made.outs
    assert provider.diff(made.id, made.outs, dict(INPUTS)).changes
    provider.delete(made.id, made.outs)
    assert cluster.env(*WHERE, "orchestrator") == theirs


def test_names_that_lose_their_values_are_given_back(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    made = provider.create(dict(INPUTS))
    provider.update(made.id, made.outs or {}, INPUTS | {"values": {}, "secrets": {}})
    assert cluster.env(*WHERE, "orchestrator") == THEIRS


def test_a_preview_may_know_nothing_of_the_names(provider: WorkloadEnvProvider, cluster: FakeCluster) -> None:
    news = INPUTS | {"values": UNKNOWN, "secrets": UNKNOWN}
    assert not provider.check({}, news).failures
    assert provider.diff("", INPUTS, news).changes
    (failure,) = provider.check({}, news | {"deployment": "june"}).failures
    assert failure.property == "deployment"


def test_preview_without_changes_asks_no_cluster(
    provider: WorkloadEnvProvider, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    monkeypatch.setattr(FakeConnections, "cluster", None)
    assert not provider.check(made.outs, dict(INPUTS)).failures
    assert not provider.check({}, {**INPUTS, "namespace": UNKNOWN}).failures
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes


def test_preview_before_there_is_a_cluster(
    provider: WorkloadEnvProvider, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: str) -> None:
        raise ClusterUnavailableError("There is no cluster.")

    monkeypatch.setattr(cluster, "deployment", unavailable)
    assert not provider.check({}, dict(INPUTS)).failures


def test_another_target_is_another_resource(provider: WorkloadEnvProvider) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert provider.diff(made.id, made.outs, {**INPUTS, "container": "proxy"}).replaces == ["container"]
    assert provider.diff(made.id, made.outs, {**INPUTS, "values": {"A": UNKNOWN}}).changes
    assert not provider.diff(made.id, made.outs, {**INPUTS, "values": {"A": UNKNOWN}}).replaces
