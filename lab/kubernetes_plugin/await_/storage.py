"""Volumes and claims."""

from lab.kubernetes_plugin.await_.readiness import READY, Readiness
from lab.kubernetes_plugin.cluster import Cluster, Object
from lab.kubernetes_plugin.kinds import Kind

_STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass")


def volume(_: Cluster, live: Object) -> Readiness:
    """A PersistentVolume that can be claimed, or is."""
    phase = live.get("status", {}).get("phase", "Pending")
    if phase in ("Available", "Bound"):
        return READY
    reason = f"The PersistentVolume is {phase}: {live.get('status', {}).get('message', 'no reason given')}"
    return Readiness(
        ready=False, waiting_for=f"PersistentVolume is {phase}", reasons=(reason,), failed=phase == "Failed"
    )


def claim(cluster: Cluster, live: Object) -> Readiness:
    """A PersistentVolumeClaim that is bound, or that its class binds only once a pod uses it."""
    phase = live.get("status", {}).get("phase", "Pending")
    class_name = live["spec"].get("storageClassName")
    if phase == "Bound" or (class_name and _binds_at_first_use(cluster, class_name)):
        return READY
    reason = f"The PersistentVolumeClaim is {phase}: no PersistentVolume of class {class_name!r} was bound to it"
    return Readiness(
        ready=False, waiting_for=f"PersistentVolumeClaim is {phase}", reasons=(reason,), failed=phase == "Lost"
    )


def _binds_at_first_use(cluster: Cluster, name: str) -> bool:
    storage_class = cluster.get(_STORAGE_CLASS, None, name)
    return bool(storage_class and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer")
