"""Readiness: one look at each kind, and waiting for it."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lab.kubernetes_plugin.await_ import AWAITED, awaited
from lab.kubernetes_plugin.await_.pods import label_selector, unready_reasons
from lab.kubernetes_plugin.await_.wait import Waiter, look, look_at_refresh
from lab.kubernetes_plugin.errors import ClusterUnreachableError, InitializationError, PluginError
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.object_client import ObjectClient
from lab.kubernetes_plugin.provider_settings import ProviderSettings

Object = dict[str, Any]

DEPLOYMENT, NAMESPACE = Kind("apps", "v1", "Deployment"), Kind("", "v1", "Namespace")
PVC, SERVICE = Kind("", "v1", "PersistentVolumeClaim"), Kind("", "v1", "Service")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress")
QUOTA, CONTROLLER = Kind("", "v1", "ResourceQuota"), Kind("", "v1", "ReplicationController")


class Objects(ObjectClient):
    """A cluster of canned objects: `items` by kind, `get` from a script (the last answer stays)."""

    def __init__(self, *script: Object | PluginError | None, **items: list[Object]) -> None:
        super().__init__(ProviderSettings())
        self._script, self._items = list(script), items

    def items(self, kind: Kind, namespace: str, selector: str) -> list[Object]:
        return self._items.get(kind.name, [])

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        answer = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if isinstance(answer, PluginError):
            raise answer
        return answer


def of(name: str = "web", *, spec: Object | None = None, status: Object | None = None, **metadata: object) -> Object:
    return {
        "metadata": {"name": name, "namespace": "rec", "generation": 2, "uid": "u", **metadata},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **(spec or {})},
        "status": status or {},
    }


def pod(*containers: Object, **conditions: str) -> Object:
    states = [{"type": name, "status": value} for name, value in conditions.items()]
    return of("web-1", status={"phase": "Pending", "conditions": states, "containerStatuses": list(containers)})


PULLING = {"name": "c", "ready": False, "state": {"waiting": {"reason": "ErrImagePull", "message": "no such host"}}}

CRASHING = {
    "name": "c",
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 3}},
}


def rollout(**status: int) -> Object:
    return of(spec={"replicas": 2}, status={"observedGeneration": 2, **status})


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2}, True),
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 1}, False),
        ({"updatedReplicas": 2, "replicas": 3, "availableReplicas": 3}, False),
        ({"updatedReplicas": 1, "replicas": 2, "availableReplicas": 2}, False),
        ({"updatedReplicas": 2, "replicas": 2, "availableReplicas": 2, "observedGeneration": 1}, False),
        ({}, False),
    ],
)
def test_a_rollout_is_over_when_all_pods_are_new_and_available(status: dict[str, int], ready: bool) -> None:
    for kind in (DEPLOYMENT, Kind("apps", "v1", "StatefulSet")):
        assert look(Objects(), kind, rollout(**status)).ready is ready


def test_a_rollout_that_fails_names_the_pods_and_what_they_wait_for() -> None:
    found = look(Objects(Pod=[pod(PULLING, Ready="False")]), DEPLOYMENT, rollout(replicas=1))
    assert found.reasons == (
        "Minimum number of live Pods was not attained",
        "[Pod rec/web-1]: containers with unready status: [c][ErrImagePull] no such host",
    )
    assert "(0/2 Pods available)" in found.waiting_for


def test_a_rollout_that_cannot_make_pods_says_why() -> None:
    refused = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"}
    live = rollout()
    live["status"]["conditions"] = [refused, late]
    assert look(Objects(), DEPLOYMENT, live).reasons[1:] == (
        "[FailedCreate] exceeded quota",
        "[ProgressDeadlineExceeded] timed out",
    )


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (
            pod(
                {
                    "name": "c",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 3}},
                }
            ),
            "[c][CrashLoopBackOff] (it ended with status 3)",
        ),
        (pod({"name": "c", "state": {"terminated": {"reason": "Error", "exitCode": 1}}}), "it ended with status 1"),
        (pod({"name": "c", "state": {"running": {}}, "ready": False}), "[c] runs but is not ready"),
        (pod(PodScheduled="False"), "[PodScheduled]"),
        (pod(), "phase Pending"),
    ],
)
def test_what_keeps_a_pod(live: Object, reason: str) -> None:
    assert reason in unready_reasons([live])[0]


def test_ready_pods_and_those_on_their_way_out_are_no_reason() -> None:
    assert unready_reasons([pod(Ready="True"), of("old", deletionTimestamp="now")]) == []


ON_EVERY_NODE = {
    "observedGeneration": 2,
    "desiredNumberScheduled": 1,
    "updatedNumberScheduled": 1,
    "numberAvailable": 1,
}


def test_a_service_is_ready_with_its_first_ready_endpoint() -> None:
    endpoints: list[Object] = [{"endpoints": [{"conditions": {"ready": False}}, {"conditions": {"ready": True}}]}]
    unready: list[Object] = [{"endpoints": [{"conditions": {"ready": False}}]}, {"endpoints": None}]
    assert look(Objects(EndpointSlice=endpoints), SERVICE, of()).ready
    assert "does not target any Pods" in look(Objects(EndpointSlice=unready), SERVICE, of()).reasons[0]


@pytest.mark.parametrize(
    ("spec", "status", "ready"),
    [
        ({"type": "ExternalName"}, {}, True),
        ({"selector": {}}, {}, True),
        ({"selector": {}, "type": "LoadBalancer"}, {"loadBalancer": {}}, False),
        ({"selector": {}, "type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}, True),
    ],
)
def test_services_without_pods(spec: Object, status: Object, ready: bool) -> None:
    assert look(Objects(), SERVICE, of(spec=spec, status=status)).ready is ready


def test_a_claim_is_ready_when_bound_or_when_its_class_waits_for_a_pod() -> None:
    pending = of(spec={"storageClassName": "lab"}, status={"phase": "Pending"})
    assert look(Objects(), PVC, of(status={"phase": "Bound"})).ready
    assert look(Objects({"volumeBindingMode": "WaitForFirstConsumer"}), PVC, pending).ready
    assert "'lab'" in look(Objects({"volumeBindingMode": "Immediate"}), PVC, pending).reasons[0]
    assert not look(Objects(None), PVC, pending).ready, "a class that does not exist binds nothing"


@pytest.mark.parametrize(
    ("kind", "live", "ready", "failed"),
    [
        (NAMESPACE, of(status={"phase": "Active"}), True, False),
        (NAMESPACE, of(status={"phase": "Terminating"}), False, False),
        (Kind("", "v1", "PersistentVolume"), of(status={"phase": "Available"}), True, False),
        (Kind("", "v1", "PersistentVolume"), of(status={"phase": "Failed"}), False, True),
        (Kind("", "v1", "Pod"), pod(Ready="True"), True, False),
        (Kind("", "v1", "Pod"), of(status={"phase": "Failed"}), False, True),
        (Kind("batch", "v1", "Job"), of(status={"conditions": [{"type": "Complete", "status": "True"}]}), True, False),
        (Kind("batch", "v1", "Job"), of(status={"conditions": [{"type": "Failed", "status": "True"}]}), False, True),
        (Kind("batch", "v1", "Job"), of(spec={"suspend": True}), True, False),
        (
            Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            of(status={"conditions": [{"type": "Established", "status": "True"}]}),
            True,
            False,
        ),
        (
            Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            of(status={"conditions": [{"type": "NamesAccepted", "status": "False", "reason": "Conflict"}]}),
            False,
            True,
        ),
        (
            Kind("apps", "v1", "DaemonSet"),
            of(status=ON_EVERY_NODE),
            True,
            False,
        ),
    ],
)
def test_other_kinds(kind: Kind, live: Object, ready: bool, failed: bool) -> None:
    found = look(Objects(), kind, live)
    assert (found.ready, found.failed) == (ready, failed)
    assert ready or found.reasons


def test_an_object_that_is_being_deleted_is_not_ready() -> None:
    assert not look(Objects(), NAMESPACE, of(status={"phase": "Active"}, deletionTimestamp="now")).ready


def test_a_kind_without_a_readiness_is_ready_when_it_exists() -> None:
    assert awaited(Kind("", "v1", "ConfigMap")) is None


def test_selectors_are_written_for_the_query() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "new", "operator": "Exists"},
    ]
    selector = {"matchLabels": {"app": "web"}, "matchExpressions": expressions}
    assert label_selector(selector) == "app=web,tier in (a,b),!old,new"


def waiter(timeout: float | None = None) -> tuple[Waiter, list[str]]:
    shown: list[str] = []
    return Waiter(shown.append, threading.Event(), timeout), shown


def test_waiting_shows_each_state_once_and_returns_the_live_object() -> None:
    pending, active = of(status={"phase": "Pending"}), of(status={"phase": "Active"})
    wait, shown = waiter()
    assert wait.until_ready(Objects(pending, pending, active), NAMESPACE, pending) is active
    assert shown == ["Namespace is Pending", ""]


def test_a_deadline_tells_the_last_reasons() -> None:
    wait, _ = waiter(timeout=0.1)
    pending = of(status={"phase": "Pending"})
    with pytest.raises(InitializationError, match="'web' timed out waiting to be Ready") as failure:
        wait.until_ready(Objects(pending), NAMESPACE, pending)
    assert failure.value.reasons == ("The Namespace is Pending",)


def test_a_final_failure_does_not_wait_for_the_deadline() -> None:
    wait, _ = waiter()
    failed = of(status={"phase": "Failed"})
    with pytest.raises(InitializationError, match="failed to initialize"):
        wait.until_ready(Objects(failed), Kind("", "v1", "Pod"), failed)


def test_cancelling_and_losing_the_cluster_keep_what_is_known_of_the_object() -> None:
    pending = of(status={"phase": "Pending"})
    wait, _ = waiter()
    wait.cancelled.set()
    with pytest.raises(InitializationError, match="was cancelled") as cancelled:
        wait.until_ready(Objects(pending), NAMESPACE, pending)
    assert cancelled.value.live is pending
    lost = Objects(ClusterUnreachableError("it went away"))
    with pytest.raises(InitializationError, match="it went away"):
        waiter()[0].until_ready(lost, NAMESPACE, pending)


def test_an_object_may_ask_not_to_be_waited_for() -> None:
    skipped = of(annotations={"pulumi.com/skipAwait": "true"})
    assert waiter()[0].until_ready(Objects(None), NAMESPACE, skipped) is skipped
    waiter()[0].until_gone(Objects(skipped), NAMESPACE, skipped)


def test_gone_means_this_object_not_a_successor_of_its_name() -> None:
    waiter()[0].until_gone(Objects(of(), of(uid="successor")), NAMESPACE, of())


def test_a_deletion_that_does_not_end_names_the_finalizers() -> None:
    held = of(finalizers=["example.com/hold"])
    with pytest.raises(PluginError, match=r"example\.com/hold"):
        waiter(timeout=0.1)[0].until_gone(Objects(held), NAMESPACE, held)


def test_skip_await_means_the_deletion_of_workloads_alone() -> None:
    skipped = of(annotations={"pulumi.com/skipAwait": "true"})
    with pytest.raises(PluginError, match="timed out waiting to be deleted"):
        waiter(timeout=0.1)[0].until_gone(Objects(skipped), SERVICE, skipped)


def gives_up_after(kind: Kind, live: Object, custom: float | None, monkeypatch: pytest.MonkeyPatch) -> float:
    """How long an object is waited for that never becomes ready."""
    given: list[float] = []

    def pauses(_: Waiter, __: str, seconds: float) -> Iterator[None]:
        given.append(seconds)
        yield

    monkeypatch.setattr(Waiter, "pauses", pauses)
    with pytest.raises(InitializationError):
        waiter(custom)[0].until_ready(Objects(live), kind, live)
    return given[0]


def test_custom_timeouts_go_before_the_annotation_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    annotated = of(annotations={"pulumi.com/timeoutSeconds": "12"})
    assert gives_up_after(DEPLOYMENT, annotated, 60.0, monkeypatch) == 60.0
    assert gives_up_after(DEPLOYMENT, annotated, None, monkeypatch) == 12.0
    assert gives_up_after(DEPLOYMENT, of(), None, monkeypatch) == 600.0
    assert gives_up_after(INGRESS, of(), None, monkeypatch) == 600.0


def test_kinds_that_are_polled_keep_to_the_time_of_the_official_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    annotated = of(spec={"hard": {"pods": "1"}, "replicas": 1}, annotations={"pulumi.com/timeoutSeconds": "12"})
    for kind, seconds in ((QUOTA, 60), (CONTROLLER, 600), (PVC, 300), (Kind("", "v1", "PersistentVolume"), 300)):
        assert gives_up_after(kind, annotated, 5.0, monkeypatch) == seconds


def test_a_polled_kind_that_is_late_says_so_as_the_official_plugin_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(AWAITED, ("", "ResourceQuota"), replace(AWAITED["", "ResourceQuota"], seconds=0.1))
    late = of("q", spec={"hard": {"pods": "1"}})
    with pytest.raises(InitializationError, match=r"^Timeout occurred polling for 'q'$") as failure:
        waiter()[0].until_ready(Objects(late), QUOTA, late)
    assert "not enforced yet" in failure.value.reasons[0]


def test_a_quota_is_ready_when_its_limits_are_enforced() -> None:
    def quota(**enforced: str) -> Object:
        return of(spec={"hard": {"pods": "1", "memory": "1Gi"}}, status={"hard": enforced})

    assert look(Objects(), QUOTA, quota(pods="1", memory="1Gi")).ready
    assert not look(Objects(), QUOTA, quota(pods="1")).ready
    assert not look(Objects(), QUOTA, quota()).ready
    assert not look(Objects(), QUOTA, of()).ready, "a quota without limits never is, for the official plugin"


def test_a_replication_controller_is_ready_when_as_many_pods_are_available_as_it_wants() -> None:
    def controller(wanted: int, **status: int) -> Object:
        return of(spec={"replicas": wanted, "selector": {"app": "web"}}, status=status)

    unready = Objects(Pod=[pod(PULLING, Ready="False")])
    assert look(Objects(), CONTROLLER, controller(2, availableReplicas=2)).ready
    found = look(unready, CONTROLLER, controller(2, availableReplicas=1))
    assert found.reasons[0] == "Waiting for '2' replicas of \"web\" to be scheduled (have: '1')"
    assert "ErrImagePull" in found.reasons[1]
    assert not look(Objects(), CONTROLLER, controller(0)).ready, "the status leaves 0 out"


def ingress(*services: str, address: bool = True) -> Object:
    paths = [{"path": "/", "backend": {"service": {"name": name, "port": {"number": 80}}}} for name in services]
    published = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}] if address else []}}
    return of(spec={"rules": [{"host": "example.com", "http": {"paths": paths}}, {}]}, status=published)


def endpoints(*services: str) -> list[Object]:
    return [{"metadata": {"labels": {"kubernetes.io/service-name": name}}} for name in services]


NOWHERE = "Ingress has at least one rule with an unavailable target endpoint."


def test_an_ingress_is_ready_with_an_address_and_endpoints_behind_each_path() -> None:
    assert look(Objects(EndpointSlice=endpoints("a", "b")), INGRESS, ingress("a", "b")).ready
    assert look(Objects(), INGRESS, ingress()).ready, "a backend that is no Service is not looked at"


def test_an_ingress_that_nobody_takes_says_what_the_official_plugin_says() -> None:
    found = look(Objects(EndpointSlice=endpoints("a")), INGRESS, ingress("a", address=False))
    assert found.waiting_for == "[2/3] Waiting for update of .status.loadBalancer with hostname/IP"
    (reason,) = found.reasons
    assert reason.startswith("Ingress .status.loadBalancer field was not updated with a hostname/IP address. \n")
    assert found.tolerated_after is None
    assert not look_at_refresh(Objects(EndpointSlice=endpoints("a")), INGRESS, ingress("a", address=False)).ready


def test_a_path_that_leads_nowhere_is_waited_for_a_while() -> None:
    found = look(Objects(None, EndpointSlice=endpoints("a")), INGRESS, ingress("a", "b"))
    assert found.waiting_for == "[1/3] Finding a matching service for each Ingress path"
    assert (found.reasons, found.tolerated_after) == ((NOWHERE,), 10)
    assert look(Objects(None), INGRESS, ingress("b")).tolerated_after == 60, "the namespace has no endpoints at all"
    assert look_at_refresh(Objects(None), INGRESS, ingress("b")).ready
    external = {"spec": {"type": "ExternalName"}}
    assert look(Objects(external, EndpointSlice=endpoints("a")), INGRESS, ingress("a", "b")).ready


def test_what_is_tolerated_after_a_while_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.kubernetes_plugin.await_.ingress._NEVER_SEEN_SECONDS", 0.2)
    live = ingress("b")
    wait, shown = waiter(timeout=20)
    assert wait.until_ready(Objects(None, live), INGRESS, live) is live
    assert shown[0].startswith("[1/3]")


def test_a_refresh_looks_at_the_kinds_that_the_official_plugin_looks_at() -> None:
    unready = of(status={"phase": "Pending"})
    for kind in (PVC, QUOTA, CONTROLLER, NAMESPACE):
        assert look_at_refresh(Objects(None), kind, unready).ready
    assert not look_at_refresh(Objects(), DEPLOYMENT, rollout()).ready
    skipped = of(annotations={"pulumi.com/skipAwait": "true"})
    assert look_at_refresh(Objects(), DEPLOYMENT, skipped).ready
