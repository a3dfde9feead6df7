"""Readiness: whether an object that the API server has accepted works as its user expects.

There is one module per family of kinds. Its functions look once at a live object and say whether it is ready, what it
is waiting for, and what is in the way. `wait` asks them until a deadline.
"""

from dataclasses import dataclass

from lab.kubernetes_plugin.await_ import ingress, pods, service, simple, storage, workloads
from lab.kubernetes_plugin.await_.readiness import Look, Readiness
from lab.kubernetes_plugin.kinds import Kind

__all__ = ["AWAITED", "Awaited", "Look", "Readiness", "awaited"]


@dataclass(frozen=True)
class Awaited:
    """How the official plugin waits for a kind."""

    look: Look
    seconds: float = 600
    """How long, at most."""
    adjustable: bool = True
    """Whether customTimeouts and the annotation may change `seconds`."""
    at_refresh: bool = True
    """Whether a refresh looks too, and reports an object that is not ready."""
    skips_deletion: bool = False
    """Whether skipAwait means the deletion as well."""


AWAITED: dict[tuple[str, str], Awaited] = {
    ("", "Namespace"): Awaited(simple.namespace, at_refresh=False, skips_deletion=True),
    ("", "PersistentVolume"): Awaited(storage.volume, 300, adjustable=False, at_refresh=False),
    ("", "PersistentVolumeClaim"): Awaited(storage.claim, 300, adjustable=False, at_refresh=False),
    ("", "Pod"): Awaited(pods.pod, 300, skips_deletion=True),
    ("", "ReplicationController"): Awaited(
        workloads.replication_controller, adjustable=False, at_refresh=False, skips_deletion=True
    ),
    ("", "ResourceQuota"): Awaited(simple.quota, 60, adjustable=False, at_refresh=False),
    ("", "Service"): Awaited(service.service),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): Awaited(simple.definition, at_refresh=False),
    ("apps", "DaemonSet"): Awaited(workloads.daemon_set, skips_deletion=True),
    ("apps", "Deployment"): Awaited(workloads.deployment, skips_deletion=True),
    ("apps", "StatefulSet"): Awaited(workloads.stateful_set, skips_deletion=True),
    ("batch", "Job"): Awaited(simple.job, skips_deletion=True),
    ("networking.k8s.io", "Ingress"): Awaited(ingress.ingress),
}
"""By API group and kind. The official plugin does not wait for Namespace and CustomResourceDefinition; we do."""


def awaited(kind: Kind) -> Awaited | None:
    """Return how a kind is waited for; None for a kind that is ready once it exists."""
    return AWAITED.get((kind.group, kind.name))
