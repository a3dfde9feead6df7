"""WorkloadEnv on a real API server and on the unit tests' cluster in memory: one suite for both.

Deployments have no replicas here, so that each change is rolled out as soon as the controller has seen it: pods that
do not come up are the unit tests', and end to end's.
"""

import itertools
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import pytest
from kubernetes.client import AppsV1Api, CoreV1Api

from infra.kubernetes import rollout
from infra.kubernetes.client import ClusterError, ClusterUnavailableError, KubernetesClient
from infra.resources.base import ResourceError
from infra.resources.connections import Connections, settings_by
from infra.resources.workload_env import WorkloadEnvProvider
from tests.contract.apiserver import ApiServer
from tests.deadlines import wait_for
from tests.unit.resources.fake_cluster import FakeCluster

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds the API server

NAMESPACE = "default"
CONTAINER = "orchestrator"
THEIRS = [{"name": "HEADSCALE_URL", "value": "http://headscale"}, {"name": "LAST", "value": "1"}]
TOKEN = {"secret": "meshgate-gateway", "key": "token"}
_names = (f"orchestrator-{number}" for number in itertools.count())


class _World(Protocol):
    @property
    def cluster(self) -> KubernetesClient: ...

    def add(self, name: str) -> None: ...

    def edit(self, name: str, env: list[dict[str, Any]]) -> None: ...

    def pause(self, name: str) -> None: ...

    def remove(self, name: str) -> None: ...


class _Real:
    def __init__(self, server: ApiServer) -> None:
        self.cluster = KubernetesClient(None, str(server.kubeconfig))
        self._apps = AppsV1Api(server.api)

    def add(self, name: str) -> None:
        """As a chart does it: server-side apply by Helm."""
        labels = {"app": name}
        containers = [
            {"name": CONTAINER, "image": "orchestrator", "env": THEIRS},
            {"name": "proxy", "image": "proxy"},
        ]
        template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
        spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
        self._apps.patch_namespaced_deployment(
            name, NAMESPACE, body, field_manager="helm", _content_type="application/apply-patch+yaml"
        )

    def edit(self, name: str, env: list[dict[str, Any]]) -> None:
        """As `kubectl set env` does it."""
        patch = {"spec": {"template": {"spec": {"containers": [{"name": CONTAINER, "env": env}]}}}}
        self._apps.patch_namespaced_deployment(
            name, NAMESPACE, patch, field_manager="kubectl-set", _content_type="application/strategic-merge-patch+json"
        )

    def pause(self, name: str) -> None:
        self._apps.patch_namespaced_deployment(name, NAMESPACE, {"spec": {"paused": True}})

    def remove(self, name: str) -> None:
        self._apps.delete_namespaced_deployment(name, NAMESPACE)


class _Fake:
    def __init__(self) -> None:
        self.cluster = FakeCluster()

    def add(self, name: str) -> None:
        self.cluster.add_deployment(NAMESPACE, name, {CONTAINER: [dict(entry) for entry in THEIRS], "proxy": []})

    def edit(self, name: str, env: list[dict[str, Any]]) -> None:
        self.cluster.edit_env(NAMESPACE, name, CONTAINER, env)

    def pause(self, name: str) -> None:
        self.cluster.pause(NAMESPACE, name)

    def remove(self, name: str) -> None:
        del self.cluster.deployments[NAMESPACE, name]


@pytest.fixture(autouse=True)
def _own_traceback_limit() -> Iterator[None]:
    """An error that hides its frames lives on in pytest's report, where it would hide those of other tests."""
    yield
    vars(sys).pop("tracebacklimit", None)


@pytest.fixture(scope="module", params=["real", "fake"])
def world(request: pytest.FixtureRequest) -> _World:
    return _Real(request.getfixturevalue("api")) if request.param == "real" else _Fake()


class _Connections(Connections):
    def __init__(self, cluster: KubernetesClient) -> None:
        super().__init__(settings_by(lambda _: None))
        self._given = cluster

    @cached_property
    def cluster(self) -> KubernetesClient:
        return self._given


@pytest.fixture
def provider(world: _World) -> WorkloadEnvProvider:
    provider = WorkloadEnvProvider()
    provider.connect = lambda: _Connections(world.cluster)
    return provider


@pytest.fixture
def name(world: _World) -> str:
    """A Deployment of somebody else's."""
    name = next(_names)
    world.add(name)
    return name


def _inputs(name: str, **values: str) -> dict[str, Any]:
    return {
        "namespace": NAMESPACE,
        "deployment": name,
        "container": CONTAINER,
        "values": values,
        "secrets": {},
        "manager": "meshgate",
        "force": False,
        "deadline_seconds": 30.0,
    }


def _env(world: _World, name: str) -> dict[str, Any]:
    deployment = world.cluster.deployment(NAMESPACE, name)
    assert deployment
    containers = deployment["spec"]["template"]["spec"]["containers"]
    (env,) = [container["env"] for container in containers if container["name"] == CONTAINER]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in env}


def _generation(world: _World, name: str) -> int:
    deployment = world.cluster.deployment(NAMESPACE, name)
    assert deployment
    generation: int = deployment["metadata"]["generation"]
    return generation


THEIR_ENV = {entry["name"]: entry["value"] for entry in THEIRS}


def test_adds_its_names_and_gives_them_back(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    inputs = _inputs(name, KEY="key-1") | {"secrets": {"TOKEN": TOKEN}}
    made = provider.create(inputs)
    reference = {"secretKeyRef": {"name": "meshgate-gateway", "key": "token"}}
    assert _env(world, name) == {**THEIR_ENV, "KEY": "key-1", "TOKEN": reference}
    assert made.outs
    assert provider.read(made.id, made.outs).outs == made.outs
    assert not provider.diff(made.id, made.outs, inputs).changes
    provider.delete(made.id, made.outs)
    assert _env(world, name) == THEIR_ENV


def test_again_changes_nothing(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    """As after a run that was killed before it wrote the state."""
    provider.create(_inputs(name, KEY="key-1"))
    before = _generation(world, name)
    made = provider.create(_inputs(name, KEY="key-1"))
    assert _generation(world, name) == before
    provider.create(_inputs(name, KEY="key-2"))
    assert _env(world, name)["KEY"] == "key-2"
    assert made.id == f"default/{name}/orchestrator/meshgate"


def test_update_sets_adds_and_gives_back(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    made = provider.create(_inputs(name, KEY="key-1", OLD="1"))
    assert made.outs
    news = _inputs(name, KEY="key-2", NEW="1")
    assert provider.diff(made.id, made.outs, news).changes
    changed = provider.update(made.id, made.outs, news)
    assert _env(world, name) == {**THEIR_ENV, "KEY": "key-2", "NEW": "1"}
    assert changed.outs == news


def test_value_becomes_a_secret_key_and_back(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    plain, secret = _inputs(name, TOKEN="text"), _inputs(name) | {"secrets": {"TOKEN": TOKEN}}
    made = provider.create(plain)
    provider.update(made.id, plain, secret)
    assert _env(world, name)["TOKEN"] == {"secretKeyRef": {"name": "meshgate-gateway", "key": "token"}}
    provider.update(made.id, secret, plain)
    assert _env(world, name)["TOKEN"] == "text"


def test_what_is_edited_by_hand_is_seen_and_repaired(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    inputs = _inputs(name, KEY="key-1", ENDPOINT="host:1")
    made = provider.create(inputs)
    assert made.outs
    world.edit(name, [{"name": "KEY", "value": "by hand"}, {"name": "ENDPOINT", "$patch": "delete"}])
    seen = provider.read(made.id, made.outs).outs
    assert seen
    assert seen["values"] == {"KEY": "by hand"}
    assert provider.diff(made.id, seen, inputs).changes
    provider.update(made.id, seen, inputs)
    assert _env(world, name) == {**THEIR_ENV, "KEY": "key-1", "ENDPOINT": "host:1"}
    provider.delete(made.id, inputs)
    assert _env(world, name) == THEIR_ENV


def test_names_of_others_are_refused(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    with pytest.raises(ResourceError, match="already has HEADSCALE_URL with another value"):
        provider.create(_inputs(name, HEADSCALE_URL="http://elsewhere"))
    assert _env(world, name) == THEIR_ENV
    provider.create({**_inputs(name, HEADSCALE_URL="http://elsewhere"), "force": True})
    assert _env(world, name)["HEADSCALE_URL"] == "http://elsewhere"


def test_same_value_as_another_ones_is_shared(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    made = provider.create(_inputs(name, LAST="1", KEY="key-1"))
    provider.delete(made.id, made.outs or {})
    assert _env(world, name) == THEIR_ENV


def test_deployment_that_goes_takes_the_env_along(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    made = provider.create(_inputs(name, KEY="key-1"))
    assert made.outs
    world.remove(name)
    assert provider.read(made.id, made.outs).id == ""
    provider.delete(made.id, made.outs)
    with pytest.raises(ResourceError, match="does not exist"):
        provider.create(_inputs(name, KEY="key-1"))


def test_a_paused_deployment_is_left_as_it_is(world: _World, provider: WorkloadEnvProvider, name: str) -> None:
    made = provider.create(_inputs(name, KEY="key-1"))
    assert made.outs
    world.pause(name)
    news = _inputs(name, KEY="key-2")
    (failure,) = provider.check(made.outs, news).failures
    assert "is paused, so no pod would get the new env; `kubectl -n default rollout resume deployment" in failure.reason
    with pytest.raises(ResourceError, match="is paused"):
        provider.update(made.id, made.outs, news)
    assert _env(world, name)["KEY"] == "key-1"
    provider.delete(made.id, made.outs)
    assert _env(world, name) == THEIR_ENV


@pytest.mark.parametrize(
    ("labels", "quota", "words"),
    [
        ({}, {"pods": "0"}, r"is forbidden: exceeded quota: tight, requested: pods=1, used: pods=0, limited: pods=0"),
        ({"pod-security.kubernetes.io/enforce": "restricted"}, {}, r'is forbidden: violates PodSecurity "restricted'),
    ],
    ids=["quota", "admission"],
)
def test_why_a_deployment_gets_no_pod_is_told_in_kubernetes_own_words(
    api: ApiServer, labels: dict[str, str], quota: dict[str, str], words: str
) -> None:
    name = next(_names)
    core: Any = CoreV1Api(api.api)
    core.create_namespace({"metadata": {"name": name, "labels": labels}})
    if quota:
        core.create_namespaced_resource_quota(name, {"metadata": {"name": "tight"}, "spec": {"hard": quota}})
        wait_for(lambda: core.read_namespaced_resource_quota("tight", name).status.used, "the quota", 30)
    selector = {"app": name}
    template = {"metadata": {"labels": selector}, "spec": {"containers": [{"name": "main", "image": "main"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": selector}, "template": template}
    apps: Any = AppsV1Api(api.api)
    apps.create_namespaced_deployment(name, {"metadata": {"name": name}, "spec": spec})
    cluster = KubernetesClient(None, str(api.kubeconfig))
    wait_for(lambda: "it gets no pod" in rollout.explain(cluster, name, name), "the controller's word", 30)
    why = rollout.wait(cluster, name, name, 0.1)
    assert re.match(rf'0 of 1 pods are of the new version; it gets no pod: FailedCreate pods "{name}-\S+ {words}', why)


def test_secrets(world: _World) -> None:
    cluster = world.cluster
    assert cluster.secret(NAMESPACE, "absent") is None
    cluster.apply_secret(NAMESPACE, "key", {"api-key": "one"})
    assert cluster.secret(NAMESPACE, "key") == {"api-key": "one"}
    cluster.apply_secret(NAMESPACE, "key", {"api-key": "two"})
    assert cluster.secret(NAMESPACE, "key") == {"api-key": "two"}
    cluster.delete_secret(NAMESPACE, "key")
    cluster.delete_secret(NAMESPACE, "key")
    assert cluster.secret(NAMESPACE, "key") is None


def test_secret_is_labelled_as_ours(api: ApiServer) -> None:
    KubernetesClient(None, str(api.kubeconfig)).apply_secret(NAMESPACE, "labelled", {"api-key": "one"})
    secret = CoreV1Api(api.api).read_namespaced_secret("labelled", NAMESPACE)
    assert secret.metadata
    assert secret.metadata.labels == {"app.kubernetes.io/managed-by": "meshgate"}


def test_what_the_cluster_refuses_is_one_sentence(api: ApiServer) -> None:
    cluster = KubernetesClient(None, str(api.kubeconfig))
    with pytest.raises(ClusterError, match=r"^The cluster refuses PATCH .*Bad_Name \(422\): Secret .* is invalid"):
        cluster.apply_secret(NAMESPACE, "Bad_Name", {"api-key": "one"})
    with pytest.raises(ClusterError, match=r"^Deployment default/absent does not exist\.$"):
        cluster.execute(NAMESPACE, "absent", ["true"])


def test_no_cluster_is_one_sentence(api: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(ClusterUnavailableError, match=r"^There is no cluster: context nowhere of the kubeconfig"):
        KubernetesClient("nowhere", str(api.kubeconfig)).secret(NAMESPACE, "key")
    closed = tmp_path / "kubeconfig"
    closed.write_text(re.sub(r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:1", api.kubeconfig.read_text()))
    with pytest.raises(ClusterUnavailableError, match=r"^The cluster at https://127\.0\.0\.1:1 cannot be reached"):
        KubernetesClient(None, str(closed)).secret(NAMESPACE, "key")
