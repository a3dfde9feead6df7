"""Whether a Deployment runs what its spec says, and why not: `kubectl rollout status` as a function.

Deployment and pods are dicts, as the API gives them.
"""

from collections.abc import Sequence
from typing import Any

from gateway.headscale.polling import poll
from gateway.headscale.redaction import excerpt
from infra.kubernetes.client import KubernetesClient

START_SECONDS = 600
"""How long the pods of a Deployment may take to begin; Kubernetes' own progressDeadlineSeconds."""


def wait(cluster: KubernetesClient, namespace: str, name: str, deadline_seconds: float) -> str:
    """Empty once the Deployment's last spec is rolled out, else, at the deadline, why it is not.

    Of a paused one it says so at once: nothing happens before somebody resumes it.
    """

    def look() -> bool | None:
        deployment = cluster.deployment(namespace, name)
        if not why_not(deployment):
            return True
        return False if deployment and is_paused(deployment) else None

    return "" if poll(look, deadline_seconds) else explain(cluster, namespace, name)


def wait_for_start(cluster: KubernetesClient, namespace: str, name: str) -> str:
    """Empty once the pods of the Deployment's last spec have begun to run, else, after START_SECONDS, why not.

    From then on a program has the time that it is given. Images and volumes have had theirs before.
    """

    def look() -> bool | None:
        deployment = cluster.deployment(namespace, name)
        if deployment is None:
            return False
        if _are_lacking(deployment):
            return None
        pods = [pod for pod in cluster.pods(deployment) if "deletionTimestamp" not in pod["metadata"]]
        started = [_has_started(pod) for pod in reversed(pods)][: _wanted(deployment)]
        return True if len(started) == _wanted(deployment) and all(started) else None

    return "" if poll(look, START_SECONDS) else explain(cluster, namespace, name)


def explain(cluster: KubernetesClient, namespace: str, name: str) -> str:
    """Why the Deployment is not rolled out now, with what its pods say; empty when it is."""
    deployment = cluster.deployment(namespace, name)
    return why_not(deployment, cluster.pods(deployment) if deployment else ())


def why_not(deployment: dict[str, Any] | None, pods: Sequence[dict[str, Any]] = ()) -> str:
    """Why the Deployment is not rolled out, with its troubles and those of these pods of it; empty when it is."""
    if deployment is None:
        return "it does not exist"
    if not (lacking := _lacking(deployment)):
        return ""
    return "; ".join([lacking, *_own_troubles(deployment), *(trouble for pod in pods for trouble in _troubles(pod))])


def is_paused(deployment: dict[str, Any]) -> bool:
    """Whether somebody has stopped its rollouts (`kubectl rollout pause`)."""
    return bool(deployment["spec"].get("paused"))


def _lacking(deployment: dict[str, Any]) -> str:
    """What a Deployment lacks to be rolled out; empty when it is."""
    if why := _are_lacking(deployment):
        return why
    status: dict[str, Any] = deployment["status"]
    updated, total, available = (
        int(status.get(field, 0)) for field in ("updatedReplicas", "replicas", "availableReplicas")
    )
    if total > updated:
        return f"{total - updated} pods of the old version still run"
    return f"{available} of {updated} pods of the new version are ready" if available < updated else ""


def _are_lacking(deployment: dict[str, Any]) -> str:
    """Why there are not all pods of the last spec; empty when there are."""
    status: dict[str, Any] = deployment.get("status", {})
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "the controller has not seen the change yet"
    updated, wanted = int(status.get("updatedReplicas", 0)), _wanted(deployment)
    return f"{updated} of {wanted} pods are of the new version" if updated < wanted else ""


def _wanted(deployment: dict[str, Any]) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _has_started(pod: dict[str, Any]) -> bool:
    """Whether each container of the pod has run, be it that it ended since."""
    wanted = len(pod["spec"]["containers"])
    statuses = pod.get("status", {}).get("containerStatuses", [])
    ran = [one for one in statuses if one.get("restartCount") or {"running", "terminated"} & set(one.get("state", {}))]
    return len(ran) == wanted


def _own_troubles(deployment: dict[str, Any]) -> list[str]:
    """What its controller says of it, such as why it cannot make a pod: quotas and admission have the last word there.

    The controller copies that from the ReplicaSet.
    """
    telling = {("Progressing", "False"): "it makes no progress", ("ReplicaFailure", "True"): "it gets no pod"}
    conditions = deployment.get("status", {}).get("conditions", [])
    told = [
        f"{what}: {_reason(condition)}"
        for condition in conditions
        if (what := telling.get((condition["type"], condition["status"])))
    ]
    return [*(["it is paused"] if is_paused(deployment) else []), *told]


def _troubles(pod: dict[str, Any]) -> list[str]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    stopped = [
        f"container {container['name']} of pod {name} {verb}: {_reason(state)}"
        for container in status.get("containerStatuses", [])
        for kind, verb in (("waiting", "waits"), ("terminated", "ended"))
        if (state := container.get("state", {}).get(kind))
    ]
    unmet = [
        f"pod {name} is not scheduled: {_reason(condition)}"
        for condition in status.get("conditions", [])
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    return [*stopped, *unmet]


def _reason(state: dict[str, Any]) -> str:
    return excerpt(" ".join(filter(None, (state.get("reason"), state.get("message")))))
