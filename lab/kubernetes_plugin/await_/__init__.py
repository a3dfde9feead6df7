"""Readiness: when an object that the API server has accepted is as good as its user expects.

One module per family of kinds; each holds functions that look once at a live object and say whether it
is ready, what it is waiting for, and what is in the way. `wait` asks them until a deadline.
"""

from lab.kubernetes_plugin.await_ import pods, rollout, service, simple, storage
from lab.kubernetes_plugin.await_.readiness import Look, Readiness
from lab.kubernetes_plugin.kinds import Kind

__all__ = ["Look", "Readiness", "look_at"]

_LOOKS: dict[tuple[str, str], Look] = {
    ("", "Namespace"): simple.namespace,
    ("", "PersistentVolume"): storage.volume,
    ("", "PersistentVolumeClaim"): storage.claim,
    ("", "Pod"): pods.pod,
    ("", "Service"): service.service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): simple.definition,
    ("apps", "DaemonSet"): rollout.daemon_set,
    ("apps", "Deployment"): rollout.deployment,
    ("apps", "StatefulSet"): rollout.stateful_set,
    ("batch", "Job"): simple.job,
}


def look_at(kind: Kind) -> Look | None:
    """Return how to look at a kind's readiness; None for a kind that is ready once it exists."""
    return _LOOKS.get((kind.group, kind.name))
