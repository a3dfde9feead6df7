"""Pods: ready ones, and what keeps the others from being ready."""

from collections.abc import Mapping
from typing import Any

from lab.kubernetes_plugin.await_.readiness import READY, Readiness, condition, describe, is_true
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.object_client import Object, ObjectClient

_POD = Kind("", "v1", "Pod")


def pod(_: ObjectClient, live: Object) -> Readiness:
    """Ready when it serves, or has run to its end without an error."""
    phase = live.get("status", {}).get("phase")
    if phase == "Succeeded" or is_true(condition(live, "Ready")):
        return READY
    return Readiness(
        ready=False,
        waiting_for=f"Waiting for the Pod to be ready ({phase or 'Pending'})",
        reasons=tuple(unready_reasons([live])),
        failed=phase == "Failed",
    )


def reasons_of_selected(client: ObjectClient, namespace: str, selector: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what keeps the pods of a workload (`spec.selector`) from being ready, one sentence a pod."""
    return tuple(unready_reasons(client.items(_POD, namespace, label_selector(selector))))


def unready_reasons(pods: list[Object]) -> list[str]:
    """Say why each pod is not ready; pods on their way out are left out."""
    reasons = []
    for live in pods:
        if "deletionTimestamp" in live["metadata"] or is_true(condition(live, "Ready")):
            continue
        metadata = live["metadata"]
        reasons.append(f"[Pod {metadata.get('namespace')}/{metadata['name']}]: {_reason(live)}")
    return reasons


def label_selector(selector: Mapping[str, Any]) -> str:
    """Write a LabelSelector (matchLabels, matchExpressions) as the query parameter has it."""
    terms = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", ()):
        key, values = expression["key"], ",".join(expression.get("values", ()))
        match expression["operator"]:
            case "Exists":
                terms.append(key)
            case "DoesNotExist":
                terms.append(f"!{key}")
            case operator:
                terms.append(f"{key} {operator.lower()} ({values})")
    return ",".join(terms)


def _reason(live: Object) -> str:
    status = live.get("status", {})
    stuck = [
        text
        for entry in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ()))
        if (text := _container_problem(entry))
    ]
    if stuck:
        return f"containers with unready status: {', '.join(stuck)}"
    for name in ("PodScheduled", "Initialized", "ContainersReady"):
        entry = condition(live, name)
        if entry and not is_true(entry):
            return describe(entry)
    return f"phase {status.get('phase', 'Pending')}"


def _container_problem(status: Mapping[str, Any]) -> str | None:
    """Return "[name][Reason] message" of a container that does not run as it should."""
    state = status.get("state", {})
    if "waiting" in state:
        ended = status.get("lastState", {}).get("terminated", {})
        exit_text = f" (it ended with status {ended['exitCode']})" if "exitCode" in ended else ""
        waiting = state["waiting"]
        return f"[{status['name']}][{waiting.get('reason')}] {waiting.get('message', '')}".rstrip() + exit_text
    if "terminated" in state and state["terminated"].get("exitCode"):
        ended = state["terminated"]
        return f"[{status['name']}][{ended.get('reason')}] it ended with status {ended['exitCode']}"
    if "running" in state and not status.get("ready"):
        return f"[{status['name']}] runs but is not ready"
    return None
