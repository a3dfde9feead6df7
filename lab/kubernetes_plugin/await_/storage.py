"""Volumes and claims."""

from lab.kubernetes_plugin.await_.readiness import READY, Readiness
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.object_client import Object, ObjectClient

_STORAGE_CLASS = Kind("storage.k8s.io", "v1", "StorageClass")


def volume(_: ObjectClient, live: Object) -> Readiness:
    """A PersistentVolume that can be claimed, or is."""
    phase = live.get("status", {}).get("phase", "Pending")
    if phase in ("Available", "Bound"):
        return READY
    reason = f"The PersistentVolume is {phase}: {live.get('status', {}).get('message', 'no reason given')}"
    return Readiness(
        ready=False, waiting_for=f"PersistentVolume is {phase}", reasons=(reason,), failed=phase == "Failed"
    )


def claim(client: ObjectClient, live: Object) -> Readiness:
    """Ready when it is bound, or when its class waits for the first pod that uses it."""
    phase = live.get("status", {}).get("phase", "Pending")
    class_name = live["spec"].get("storageClassName")
    if phase == "Bound" or (class_name and _binds_at_first_use(client, class_name)):
        return READY
    reason = f"The PersistentVolumeClaim is {phase}: no PersistentVolume of class {class_name!r} was bound to it"
    return Readiness(
        ready=False, waiting_for=f"PersistentVolumeClaim is {phase}", reasons=(reason,), failed=phase == "Lost"
    )


def _binds_at_first_use(client: ObjectClient, name: str) -> bool:
    storage_class = client.get(_STORAGE_CLASS, None, name)
    return bool(storage_class and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer")
