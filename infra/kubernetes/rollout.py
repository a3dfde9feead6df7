"""Whether a Deployment runs what its spec says, and why not: `kubectl rollout status` as a function."""

from typing import Any

from infra.headscale.polling import poll
from infra.headscale.redaction import excerpt
from infra.kubernetes.client import KubernetesClient


def wait(cluster: KubernetesClient, namespace: str, name: str, deadline_seconds: float) -> str | None:
    """None once the Deployment's last spec is rolled out, else, at the deadline, why it is not."""
    unfinished = "it does not exist"

    def look() -> bool | None:
        nonlocal unfinished
        deployment = cluster.deployment(namespace, name)
        if deployment is None:
            return None
        unfinished = missing(deployment)
        return None if unfinished else True

    if poll(look, deadline_seconds):
        return None
    return "; ".join([unfinished, *_pod_troubles(cluster, namespace, name)])


def missing(deployment: dict[str, Any]) -> str:
    """What a Deployment lacks to be rolled out; empty when it is."""
    status: dict[str, Any] = deployment.get("status", {})
    wanted = deployment["spec"].get("replicas", 1)
    if status.get("observedGeneration", 0) < deployment["metadata"]["generation"]:
        return "the controller has not seen the change yet"
    updated, total, available = (
        int(status.get(field, 0)) for field in ("updatedReplicas", "replicas", "availableReplicas")
    )
    if updated < wanted:
        return f"{updated} of {wanted} pods are of the new version"
    if total > updated:
        return f"{total - updated} pods of the old version still run"
    if available < updated:
        return f"{available} of {updated} pods of the new version are ready"
    return ""


def _pod_troubles(cluster: KubernetesClient, namespace: str, name: str) -> list[str]:
    deployment = cluster.deployment(namespace, name)
    if deployment is None:
        return []
    pods = cluster.pods(namespace, deployment["spec"]["selector"]["matchLabels"])
    return [trouble for pod in pods for trouble in _troubles(pod)]


def _troubles(pod: dict[str, Any]) -> list[str]:
    name, status = pod["metadata"]["name"], pod.get("status", {})
    waiting = [
        f"container {container['name']} of pod {name} waits: {_reason(state)}"
        for container in status.get("containerStatuses", [])
        if (state := container.get("state", {}).get("waiting"))
    ]
    unmet = [
        f"pod {name} is not scheduled: {_reason(condition)}"
        for condition in status.get("conditions", [])
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    ]
    return [*waiting, *unmet]


def _reason(state: dict[str, Any]) -> str:
    return excerpt(" ".join(filter(None, (state.get("reason"), state.get("message")))))
