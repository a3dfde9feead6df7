"""What the containers of a Deployment's pod logged last, for a sentence that says why something did not come up."""

from typing import Any

from gateway.headscale.redaction import redact
from infra.kubernetes.client import ClusterError, KubernetesClient

LINES = 15
CHARACTERS = 2000


def last_words(cluster: KubernetesClient, namespace: str, name: str, container: str | None = None) -> str:
    """The tail of a container's log in the newest pod; of all that are not ready when None."""
    where = f"Deployment {namespace}/{name}"
    try:
        found = cluster.deployment(namespace, name)
        if found is None:
            return f"{where} does not exist."
        pods = cluster.pods(found)
        if not pods:
            return f"{where} has no pod."
        containers = [container] if container else _unready(pods[-1])
        return "\n".join(_tail(cluster, namespace, name, pods[-1], one) for one in containers)
    except ClusterError as error:
        return f"The log of {where} cannot be read: {error}"


def _unready(pod: dict[str, Any]) -> list[str]:
    return [one["name"] for one in pod.get("status", {}).get("containerStatuses", []) if not one.get("ready")]


def _tail(cluster: KubernetesClient, namespace: str, name: str, pod: dict[str, Any], container: str) -> str:
    where = f"container {container} of Deployment {namespace}/{name}"
    text = cluster.logs(namespace, pod["metadata"]["name"], container, LINES)
    tail = redact(text.strip())[-CHARACTERS:]
    if not tail:
        return f"The log of {where} is empty: see `kubectl -n {namespace} describe deployment {name}`."
    return "\n".join([f"What {where} logged last:", *(f"    {line}" for line in tail.splitlines())])
