"""What the containers of a Deployment's pod logged of faults and last, for a sentence on what did not come up."""

import re
from typing import Any

from gateway.headscale.redaction import redact
from infra.kubernetes.client import ClusterError, KubernetesClient

LINES = 15
WIDTH = 300
_READ = 300
_LAST = 3
_FAULT = re.compile(
    r"already used|can(no|')t|could not|denied|error|expired|fail|fatal|invalid|not found|panic|refused|reject|unable"
    r"|unauthori[sz]ed",
    re.IGNORECASE,
)


def last_words(cluster: KubernetesClient, namespace: str, name: str, container: str | None = None) -> str:
    """The lines of a container's log in the newest pod; of all that are not ready when None."""
    where = f"Deployment {namespace}/{name}"
    try:
        found = cluster.deployment(namespace, name)
        if found is None:
            return f"{where} does not exist."
        pods = cluster.pods(found)
        if not pods:
            return f"{where} has no pod."
        containers = [container] if container else _unready(pods[-1])
        return "\n".join(_words(cluster, namespace, name, pods[-1], one) for one in containers)
    except ClusterError as error:
        return f"The log of {where} cannot be read: {error}"


def telling(text: str) -> list[str]:
    """Up to `LINES` lines of a log, in its order: the last ones, and before them those that tell of a fault.

    A program that ends on a fault says much after it: tailscaled logs each route that it takes away.
    A fault that was repeated is told once.
    """
    lines = [line if len(line) <= WIDTH else line[:WIDTH] + "…" for line in text.strip().splitlines()]
    last = range(max(0, len(lines) - _LAST), len(lines))
    faults = {re.sub(r"\d+", "", line): place for place, line in enumerate(lines) if _FAULT.search(line)}
    others = [place for place in range(len(lines)) if place not in last]
    # The faults first, the newest of them; what room is left has the newest of the rest.
    others.sort(key=lambda place: (place in faults.values(), place))
    return [lines[place] for place in sorted([*others[len(last) - LINES :], *last])]


def _unready(pod: dict[str, Any]) -> list[str]:
    return [one["name"] for one in _statuses(pod) if not one.get("ready")]


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    statuses: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses", [])
    return statuses


def _words(cluster: KubernetesClient, namespace: str, name: str, pod: dict[str, Any], container: str) -> str:
    where = f"container {container} of Deployment {namespace}/{name}"
    # One that was started again a moment ago has not met its fault yet; the one before it has.
    again = any(
        one["name"] == container and "running" in one.get("state", {}) and one.get("restartCount")
        for one in _statuses(pod)
    )
    logs = [
        cluster.logs(namespace, pod["metadata"]["name"], container, _READ, previous=previous)
        for previous in ([True, False] if again else [False])
    ]
    words = telling(redact("\n".join(logs)))
    if not words:
        return f"The log of {where} is empty: see `kubectl -n {namespace} describe deployment {name}`."
    return "\n".join([f"What {where} logged of faults and last:", *(f"    {line}" for line in words)])
