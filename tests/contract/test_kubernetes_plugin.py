"""The stand-in for Pulumi's Kubernetes plugin against a real API server: objects' lives as the engine drives them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf import empty_pb2
from google.rpc import status_pb2
from kubernetes.client import CoreV1Api, NetworkingV1Api
from kubernetes.client.exceptions import ApiException
from pulumi.runtime.proto import provider_pb2 as messages

from infra.components.stack_cluster import PROVIDER_FLAGS
from infra.kubernetes.labels import ADOPTED
from lab.kubernetes_plugin.properties import UNKNOWN, Properties, Secret, Value, from_struct, to_struct
from tests.contract.apiserver import ApiServer, api_server
from tests.deadlines import wait_for
from tests.unit.kubernetes_plugin.serving import Plugin, serving

CONFIG_MAP, SECRET, NAMESPACE, SERVICE = (
    f"kubernetes:core/v1:{kind}" for kind in ("ConfigMap", "Secret", "Namespace", "Service")
)
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
THING = "kubernetes:test.example.com/v1:Thing"
DEFINITION = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"


@dataclass(frozen=True)
class Kept:
    """What the engine keeps of a resource."""

    type: str
    id: str
    inputs: Properties
    outputs: Properties


class PartialFailureError(Exception):
    """The plugin's answer was ErrorResourceInitFailed: the object exists, `kept` is what the state gets."""

    def __init__(self, kept: Kept, reasons: list[str]) -> None:
        super().__init__(*reasons)
        self.kept = kept
        self.reasons = reasons


class Engine:
    """Calls the plugin as Pulumi's engine does: Check, then Create, Diff, Update, Read, Delete."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin

    def check(self, token: str, name: str, olds: Properties | None = None, **fields: Value) -> Properties:
        module, kind = token.split(":")[1:]
        news = {"apiVersion": module.removeprefix("core/"), "kind": kind, **fields}
        request = messages.CheckRequest(type=token, name=name, news=to_struct(news), olds=to_struct(olds or {}))
        answer = self.plugin.stub.Check(request)
        assert not answer.failures
        return from_struct(answer.inputs)

    def create(self, token: str, name: str, timeout: float = 0, **fields: Value) -> Kept:
        inputs = self.check(token, name, **fields)
        request = messages.CreateRequest(type=token, urn=name, properties=to_struct(inputs), timeout=timeout)
        with partial_failures(token, inputs):
            answer = self.plugin.stub.Create(request)
        return Kept(token, answer.id, inputs, from_struct(answer.properties))

    def preview_create(self, token: str, name: str, **fields: Value) -> tuple[Properties, Properties]:
        inputs = self.check(token, name, **fields)
        request = messages.CreateRequest(type=token, urn=name, properties=to_struct(inputs), preview=True)
        return inputs, from_struct(self.plugin.stub.Create(request).properties)

    def diff(self, kept: Kept, **changed: Value) -> messages.DiffResponse:
        news = to_struct(kept.inputs | changed)
        answer: messages.DiffResponse = self.plugin.stub.Diff(
            messages.DiffRequest(
                type=kept.type,
                id=kept.id,
                old_inputs=to_struct(kept.inputs),
                olds=to_struct(kept.outputs),
                news=news,
            )
        )
        return answer

    def update(self, kept: Kept, timeout: float = 0, *, preview: bool = False, **changed: Value) -> Kept:
        news = kept.inputs | changed
        request = messages.UpdateRequest(
            type=kept.type,
            urn=kept.id,
            id=kept.id,
            old_inputs=to_struct(kept.inputs),
            olds=to_struct(kept.outputs),
            news=to_struct(news),
            timeout=timeout,
            preview=preview,
        )
        with partial_failures(kept.type, news):
            answer = self.plugin.stub.Update(request)
        return Kept(kept.type, kept.id, news, from_struct(answer.properties))

    def read(self, kept: Kept) -> Kept | None:
        request = messages.ReadRequest(
            type=kept.type, id=kept.id, inputs=to_struct(kept.inputs), properties=to_struct(kept.outputs)
        )
        with partial_failures(kept.type, kept.inputs):
            answer = self.plugin.stub.Read(request)
        if not answer.id:
            return None
        return Kept(kept.type, answer.id, from_struct(answer.inputs), from_struct(answer.properties))

    def delete(self, kept: Kept, timeout: float = 0) -> None:
        self.plugin.stub.Delete(
            messages.DeleteRequest(type=kept.type, id=kept.id, properties=to_struct(kept.outputs), timeout=timeout)
        )


@contextmanager
def partial_failures(token: str, inputs: Properties) -> Iterator[None]:
    """Read the details of a partial failure where the engine does."""
    try:
        yield
    except grpc.RpcError as error:
        details = {key: value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"}
        if not details:
            raise
        failure = messages.ErrorResourceInitFailed()
        assert status_pb2.Status.FromString(details["grpc-status-details-bin"]).details[0].Unpack(failure)
        found = from_struct(failure.inputs) or inputs
        kept = Kept(token, failure.id, found, from_struct(failure.properties))
        raise PartialFailureError(kept, list(failure.reasons)) from error


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("apiserver")) as running:
        yield running


@pytest.fixture
def engine(server: ApiServer) -> Iterator[Engine]:
    """A plugin that is configured as the program configures it."""
    with serving(server.kubeconfig) as plugin:
        plugin.configure(**settings(server))
        yield Engine(plugin)


@pytest.fixture
def plain_engine(server: ApiServer) -> Iterator[Engine]:
    """A plugin with the defaults of the official one."""
    with serving(server.kubeconfig) as plugin:
        yield Engine(plugin)


def settings(server: ApiServer) -> dict[str, str]:
    """The program's provider as the engine passes it on: names in camel case, flags as JSON."""
    flags = {_camel(name): json.dumps(value) for name, value in PROVIDER_FLAGS.items()}
    (context,) = yaml.safe_load(server.kubeconfig.read_text())["contexts"]
    return {"kubeconfig": str(server.kubeconfig), "context": context["name"], **flags}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


@pytest.fixture
def ns(server: ApiServer) -> str:
    """Return a fresh namespace of this test's own."""
    core = api(server)
    name: str = core.create_namespace({"metadata": {"generateName": "test-"}}).metadata.name
    wait_for(lambda: core.list_namespaced_service_account(name).items, "the service account", within=20)
    return name


def api(server: ApiServer) -> Any:  # noqa: ANN401 (the client's types know models, not manifests)
    return CoreV1Api(server.api)


def raw(server: ApiServer, kind: str, ns: str, name: str) -> Value:
    """Return an object of the core group as the API server has it."""
    read = getattr(api(server), f"read_namespaced_{kind}")
    try:
        found: dict[str, Any] = server.api.sanitize_for_serialization(read(name, ns))
    except ApiException as error:
        if error.status != 404:
            raise
        return None
    return found


def web(ns: str, **metadata: Value) -> Properties:
    pod = {"containers": [{"name": "c", "image": "web:1"}]}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"metadata": {"name": "web", "namespace": ns, **metadata}, "spec": spec}


@contextmanager
def cancelling(engine: Engine) -> Iterator[None]:
    """End what waits in the block, as Ctrl-C does."""
    later = threading.Timer(0.7, lambda: engine.plugin.stub.Cancel(empty_pb2.Empty()))
    later.start()
    try:
        yield
    finally:
        later.join()


def run_pods(server: ApiServer, ns: str) -> None:
    """Play the kubelet: put the namespace's pods on a node and say that they are ready."""
    core = api(server)
    now = "2026-01-01T00:00:00Z"
    ready = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
    status = {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "conditions": ready}
    wait_for(lambda: core.list_namespaced_pod(ns).items, "the pod", within=20)
    if not core.list_node().items:
        core.create_node({"metadata": {"name": "node"}})
    for pod in core.list_namespaced_pod(ns).items:
        binding = {"metadata": {"name": pod.metadata.name}, "target": {"kind": "Node", "name": "node"}}
        core.create_namespaced_binding(ns, binding, _preload_content=False)
        core.patch_namespaced_pod_status(pod.metadata.name, ns, {"status": status})


def test_a_config_map_lives_and_dies(server: ApiServer, engine: Engine, ns: str) -> None:
    kept = engine.create(CONFIG_MAP, "cm", metadata={"namespace": ns}, data={"a": "1"})
    name = kept.inputs["metadata"]["name"]
    assert kept.id == f"{ns}/{name}"
    assert kept.outputs["metadata"]["uid"]
    assert kept.outputs["__inputs"] == kept.inputs
    assert engine.diff(kept).changes == messages.DiffResponse.DIFF_NONE
    assert engine.read(kept) == kept
    engine.delete(kept)
    assert raw(server, "config_map", ns, name) is None
    engine.delete(kept)
    assert engine.read(kept) is None


def test_the_programs_provider_is_accepted(server: ApiServer, engine: Engine) -> None:
    answer = engine.plugin.stub.CheckConfig(messages.CheckRequest(news=to_struct(settings(server))))
    assert not answer.failures


def test_an_object_that_exists_is_not_taken_over_unless_asked(engine: Engine, plain_engine: Engine, ns: str) -> None:
    fixed: Properties = {"metadata": {"name": "fixed", "namespace": ns}, "data": {"a": "1"}}
    plain_engine.create(CONFIG_MAP, "cm", **fixed)
    with pytest.raises(grpc.RpcError, match=r'configmaps .*"fixed.* already exists'):
        plain_engine.create(CONFIG_MAP, "cm", **fixed)
    inputs, outputs = plain_engine.preview_create(CONFIG_MAP, "cm", **fixed)
    assert outputs == inputs, "a replacement deletes the old one first: its preview must pass"
    kept = engine.create(CONFIG_MAP, "cm", **fixed)
    assert engine.read(kept) == kept


def test_adopting_does_not_take_another_managers_value(server: ApiServer, engine: Engine, ns: str) -> None:
    theirs = {"metadata": {"name": "fixed"}, "data": {"a": "theirs"}}
    api(server).create_namespaced_config_map(ns, theirs, field_manager="operator")
    ours: Properties = {"metadata": {"name": "fixed", "namespace": ns}, "data": {"a": "ours"}}
    with pytest.raises(grpc.RpcError, match=r"(?s)field conflict.*operator.*\.data\.a"):
        engine.create(CONFIG_MAP, "cm", **ours)
    ours["metadata"]["annotations"] = ADOPTED
    assert engine.create(CONFIG_MAP, "cm", **ours).outputs["data"] == {"a": "ours"}


def test_a_preview_knows_what_the_server_would_make_and_makes_nothing(
    server: ApiServer, engine: Engine, ns: str
) -> None:
    _, outputs = engine.preview_create(DEPLOYMENT, "web", **web(ns))
    assert outputs["spec"]["progressDeadlineSeconds"] == 600
    assert "status" not in outputs
    assert not engine.preview_create(CONFIG_MAP, "cm", metadata={"namespace": ns})[1]["metadata"].get("resourceVersion")
    assert raw(server, "config_map", ns, "cm") is None


def test_a_preview_in_a_namespace_that_is_still_to_be_made_shows_the_inputs(engine: Engine) -> None:
    inputs, outputs = engine.preview_create(CONFIG_MAP, "cm", metadata={"name": "a", "namespace": "to-be-made"})
    assert outputs == inputs
    inputs, outputs = engine.preview_create(CONFIG_MAP, "cm", metadata={"name": "a", "namespace": UNKNOWN})
    assert outputs == inputs


def test_a_preview_finds_a_misspelt_field(engine: Engine, ns: str) -> None:
    wrong = web(ns)
    wrong["spec"]["replicaz"] = 2
    with pytest.raises(grpc.RpcError, match=r"spec\.replicaz"):
        engine.preview_create(DEPLOYMENT, "web", **wrong)


def test_a_create_waits_a_moment_for_its_namespace(server: ApiServer, engine: Engine) -> None:
    core = api(server)
    later = threading.Timer(0.7, lambda: core.create_namespace({"metadata": {"name": "made-later"}}))
    later.start()
    kept = engine.create(CONFIG_MAP, "cm", metadata={"name": "a", "namespace": "made-later"})
    later.join()
    assert kept.id == "made-later/a"


def test_an_update_takes_a_given_up_field_away(server: ApiServer, engine: Engine, ns: str) -> None:
    kept = engine.create(CONFIG_MAP, "cm", metadata={"name": "fixed", "namespace": ns}, data={"a": "1", "b": "1"})
    previewed = engine.update(kept, preview=True, data={"a": "2"})
    assert previewed.outputs["data"]["a"] == "2"
    assert raw(server, "config_map", ns, "fixed")["data"] == {"a": "1", "b": "1"}
    updated = engine.update(kept, data={"a": "2"})
    assert updated.outputs["data"] == {"a": "2"}
    (manager,) = updated.outputs["metadata"]["managedFields"]
    assert (manager["manager"], manager["operation"]) == (kept.outputs["__fieldManager"], "Apply")


def test_a_refresh_sees_an_edit_by_kubectl_and_the_update_repairs_it(
    server: ApiServer, engine: Engine, ns: str
) -> None:
    kept = engine.create(CONFIG_MAP, "cm", metadata={"name": "fixed", "namespace": ns}, data={"a": "1"})
    kept = engine.update(kept, data={"a": "2"})
    edit = {"data": {"a": "by-hand", "c": "theirs"}}
    api(server).patch_namespaced_config_map("fixed", ns, edit, field_manager="kubectl-edit")
    drifted = engine.read(kept)
    assert drifted
    assert drifted.inputs["data"] == {"a": "by-hand"}
    assert list(engine.diff(drifted, data={"a": "2"}).detailedDiff) == ["data.a"]
    assert engine.update(drifted, data={"a": "2"}).outputs["data"]["a"] == "2"


def test_a_changed_config_map_or_secret_is_updated_in_place_for_the_program(
    engine: Engine, plain_engine: Engine, ns: str
) -> None:
    for token in (CONFIG_MAP, SECRET):
        kept = engine.create(token, "it", metadata={"name": "fixed", "namespace": ns}, data={"a": "MQ=="})
        assert not engine.diff(kept, data={"a": "Mg=="}).replaces
        assert plain_engine.diff(kept, data={"a": "Mg=="}).deleteBeforeReplace


def test_a_field_of_another_program_is_a_conflict_that_says_whose(server: ApiServer, engine: Engine, ns: str) -> None:
    kept = engine.create(CONFIG_MAP, "cm", metadata={"name": "fixed", "namespace": ns}, data={"a": "1"})
    api(server).patch_namespaced_config_map("fixed", ns, {"data": {"a": "x"}}, field_manager="operator")
    with pytest.raises(grpc.RpcError, match=r"(?s)field conflict.*operator.*\.data\.a"):
        engine.update(kept, data={"a": "2"})


def test_an_update_of_an_object_that_is_gone_says_what_to_do(server: ApiServer, engine: Engine, ns: str) -> None:
    kept = engine.create(CONFIG_MAP, "cm", metadata={"name": "fixed", "namespace": ns})
    api(server).delete_namespaced_config_map("fixed", ns)
    with pytest.raises(grpc.RpcError, match=r"does not exist any more\. Run `pulumi refresh`"):
        engine.update(kept, data={"a": "2"})


def test_a_deployment_that_does_not_start_is_kept_with_its_reasons(server: ApiServer, engine: Engine, ns: str) -> None:
    annotations = {"pulumi.com/timeoutSeconds": "2"}
    with pytest.raises(PartialFailureError) as failure:
        engine.create(DEPLOYMENT, "web", **web(ns, annotations=annotations))
    sentence, short, pod = failure.value.reasons
    assert sentence.endswith("failed to fully initialize or become live: 'web' timed out waiting to be Ready")
    assert short == "Minimum number of live Pods was not attained"
    assert pod.startswith(f"[Pod {ns}/web-")
    kept = failure.value.kept
    assert kept.id == f"{ns}/web"
    assert kept.outputs["__inputs"] == kept.inputs
    with pytest.raises(PartialFailureError, match="created but failed to initialize"):
        engine.read(kept)
    run_pods(server, ns)
    updated = engine.update(kept, timeout=20)
    assert updated.outputs["status"]["availableReplicas"] == 1
    assert engine.read(updated)


def test_a_deployment_may_be_not_waited_for(engine: Engine, ns: str) -> None:
    kept = engine.create(DEPLOYMENT, "web", **web(ns, annotations={"pulumi.com/skipAwait": "true"}))
    assert engine.read(kept)


def test_an_update_may_be_answered_before_it_is_rolled_out(
    server: ApiServer, engine: Engine, ns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the official plugin does now and then; a create is waited for all the same."""
    monkeypatch.setenv("MESHGATE_LAB_PLUGIN", "prompt")
    engine.plugin.configure(**settings(server))
    with cancelling(engine), pytest.raises(PartialFailureError) as failure:
        engine.create(DEPLOYMENT, "web", **web(ns))
    changed = web(ns)["spec"]
    changed["template"]["spec"]["containers"][0]["image"] = "web:2"
    updated = engine.update(failure.value.kept, spec=changed)
    assert updated.outputs["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    assert not updated.outputs["status"].get("availableReplicas")


def test_a_quota_is_waited_for_until_its_controller_has_seen_it(engine: Engine, ns: str) -> None:
    quota = "kubernetes:core/v1:ResourceQuota"
    hard = {"hard": {"pods": "3", "limits.memory": "1024Mi"}}
    kept = engine.create(quota, "quota", metadata={"name": "quota", "namespace": ns}, spec=hard)
    assert kept.outputs["status"]["hard"] == kept.outputs["spec"]["hard"]
    assert engine.diff(kept).changes == messages.DiffResponse.DIFF_NONE


def test_a_replication_controller_is_waited_for_until_its_pods_are_available(
    server: ApiServer, engine: Engine, ns: str
) -> None:
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
    spec = {"replicas": 1, "selector": {"app": "web"}, "template": pod}
    kubelet = threading.Thread(target=run_pods, args=(server, ns))
    kubelet.start()
    kept = engine.create(
        "kubernetes:core/v1:ReplicationController", "rc", metadata={"name": "rc", "namespace": ns}, spec=spec
    )
    kubelet.join()
    assert kept.outputs["status"]["availableReplicas"] == 1


def test_an_ingress_is_waited_for_until_somebody_takes_it(server: ApiServer, engine: Engine, ns: str) -> None:
    token = "kubernetes:networking.k8s.io/v1:Ingress"
    backend = {"service": {"name": "outside", "port": {"number": 80}}}
    external = {"type": "ExternalName", "externalName": "example.com"}
    engine.create(SERVICE, "outside", metadata={"name": "outside", "namespace": ns}, spec=external)
    rule = {"host": "example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    ingress: Properties = {"metadata": {"name": "web", "namespace": ns}, "spec": {"rules": [rule]}}
    with pytest.raises(PartialFailureError, match=r"\.status\.loadBalancer field was not updated") as failure:
        engine.create(token, "web", timeout=1, **ingress)
    with pytest.raises(PartialFailureError, match="created but failed to initialize"):
        engine.read(failure.value.kept)
    address = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    NetworkingV1Api(server.api).patch_namespaced_ingress_status("web", ns, address)
    assert engine.read(failure.value.kept)
    assert engine.update(failure.value.kept, timeout=5).outputs["status"]["loadBalancer"]["ingress"]


def test_cancelling_ends_a_wait_and_the_state_keeps_the_object(engine: Engine, ns: str) -> None:
    with cancelling(engine), pytest.raises(PartialFailureError, match="was cancelled") as failure:
        engine.create(DEPLOYMENT, "web", **web(ns))
    assert failure.value.kept.id == f"{ns}/web"


def test_a_service_is_ready_when_a_pod_is(server: ApiServer, engine: Engine, ns: str) -> None:
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    service: Properties = {"metadata": {"name": "web", "namespace": ns}, "spec": spec}
    with pytest.raises(PartialFailureError, match="does not target any Pods"):
        engine.create(SERVICE, "svc", timeout=1, **service)
    engine.create(DEPLOYMENT, "web", **web(ns, annotations={"pulumi.com/skipAwait": "true"}))
    run_pods(server, ns)
    kept = engine.create(SERVICE, "svc2", metadata={"name": "web2", "namespace": ns}, spec=spec)
    assert kept.outputs["spec"]["ports"][0]["port"] == 80
    assert engine.diff(kept, spec={**spec, "clusterIP": "None"}).replaces


def test_a_claim_of_a_class_that_waits_for_a_pod_does_not_block(engine: Engine, ns: str) -> None:
    engine.create(
        "kubernetes:storage.k8s.io/v1:StorageClass",
        "lab",
        metadata={"name": "lab"},
        provisioner="kubernetes.io/no-provisioner",
        volumeBindingMode="WaitForFirstConsumer",
    )
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1024Mi"}}}
    claim = "kubernetes:core/v1:PersistentVolumeClaim"
    kept = engine.create(claim, "pvc", metadata={"name": "a", "namespace": ns}, spec=spec | {"storageClassName": "lab"})
    refreshed = engine.read(kept)
    assert refreshed
    assert refreshed.inputs == kept.inputs, "1024Mi is 1Gi: no drift"
    other = spec | {"storageClassName": "other"}
    with cancelling(engine), pytest.raises(PartialFailureError, match="no PersistentVolume of class 'other'"):
        engine.create(claim, "pvc", metadata={"name": "b", "namespace": ns}, spec=other)


def test_a_custom_resource_follows_its_definition(engine: Engine, ns: str) -> None:
    thing: Properties = {"metadata": {"name": "one", "namespace": ns}, "spec": {"a": 1}}
    inputs, outputs = engine.preview_create(THING, "one", **thing)
    assert outputs == inputs, "its kind does not exist yet"
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "Thing", "plural": "things", "singular": "thing"}
    spec = {"group": "test.example.com", "names": names, "scope": "Namespaced", "versions": [version]}
    definition = engine.create(DEFINITION, "crd", metadata={"name": "things.test.example.com"}, spec=spec)
    kept = engine.create(THING, "one", **thing)
    assert engine.update(kept, spec={"a": 2}).outputs["spec"] == {"a": 2}
    refreshed = engine.read(definition)
    assert refreshed
    assert refreshed.inputs == definition.inputs
    engine.delete(definition)
    assert engine.read(kept) is None
    engine.delete(kept)


def test_a_secret_stays_secret_on_every_way(engine: Engine, ns: str) -> None:
    kept = engine.create(SECRET, "keys", metadata={"name": "keys", "namespace": ns}, stringData={"k": "s3cr3t"})
    refreshed = engine.read(kept)
    assert refreshed == kept
    for properties in (kept.inputs, kept.outputs, kept.outputs["__inputs"]):
        assert properties["data"] == Secret({"k": "czNjcjN0"})
    imported = engine.read(Kept(SECRET, kept.id, {}, {}))
    assert imported
    assert imported.inputs["data"] == Secret({"k": "czNjcjN0"})
    assert not engine.diff(kept, data=Secret({"k": "b3RoZXI="})).replaces


def test_the_servers_complaint_does_not_quote_a_secret(engine: Engine, ns: str) -> None:
    labels = {"token": Secret("not a label!")}
    with pytest.raises(grpc.RpcError, match=r"metadata\.labels: Invalid value: .*\[secret\]") as refused:
        engine.create(CONFIG_MAP, "cm", metadata={"name": "a", "namespace": ns, "labels": labels})
    assert "not a label" not in str(refused.value)


def test_an_import_is_an_object_without_a_difference(engine: Engine, ns: str) -> None:
    # As every object of the program: another field manager than the import's own made it.
    metadata: Properties = {"name": "a", "namespace": ns, "annotations": dict(ADOPTED)}
    made = engine.create(CONFIG_MAP, "cm", metadata=metadata, data={"a": "1"})
    imported = engine.read(Kept(CONFIG_MAP, made.id, {}, {}))
    assert imported
    assert imported.inputs == made.inputs
    assert imported.outputs["metadata"]["uid"] == made.outputs["metadata"]["uid"]
    assert engine.update(imported, data={"a": "2"}).outputs["data"] == {"a": "2"}


def test_a_namespace_is_gone_with_all_it_holds_when_its_deletion_returns(server: ApiServer, engine: Engine) -> None:
    kept = engine.create(NAMESPACE, "ns", metadata={"name": "short-lived"})
    engine.create(CONFIG_MAP, "cm", metadata={"name": "a", "namespace": "short-lived"})
    engine.delete(kept)
    with pytest.raises(ApiException, match="404"):
        api(server).read_namespace("short-lived")


def test_a_finalizer_that_holds_an_object_is_named(server: ApiServer, engine: Engine, ns: str) -> None:
    metadata = {"name": "held", "namespace": ns, "finalizers": ["example.com/hold"]}
    kept = engine.create(CONFIG_MAP, "cm", metadata=metadata)
    with pytest.raises(grpc.RpcError, match=r"timed out waiting to be deleted; its finalizers .*example\.com/hold"):
        engine.delete(kept, timeout=1)
    api(server).patch_namespaced_config_map("held", ns, {"metadata": {"finalizers": None}})
    engine.delete(kept)


def test_what_the_server_will_not_change_is_replaced(engine: Engine) -> None:
    token = "kubernetes:scheduling.k8s.io/v1:PriorityClass"
    kept = engine.create(token, "high", metadata={"name": "high"}, value=1000, description="one")
    assert not engine.diff(kept, description="two").replaces
    difference = engine.diff(kept, value=2000)
    assert list(difference.replaces) == ["value"]
    assert difference.deleteBeforeReplace


def test_a_name_made_by_the_server_is_kept(engine: Engine, ns: str) -> None:
    kept = engine.create(CONFIG_MAP, "cm", metadata={"generateName": "made-", "namespace": ns}, data={"a": "1"})
    assert kept.id.startswith(f"{ns}/made-")
    assert engine.diff(kept).changes == messages.DiffResponse.DIFF_NONE
    assert engine.update(kept, data={"a": "2"}).outputs["metadata"]["name"] == kept.id.split("/")[1]
