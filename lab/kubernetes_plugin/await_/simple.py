"""Kinds whose own status says it all: Namespace, CustomResourceDefinition, ResourceQuota, Job."""

from lab.kubernetes_plugin.await_.pods import reasons_of_selected
from lab.kubernetes_plugin.await_.readiness import READY, Readiness, condition, describe, is_true
from lab.kubernetes_plugin.object_client import Object, ObjectClient


def namespace(_: ObjectClient, live: Object) -> Readiness:
    """A Namespace that takes objects."""
    phase = live.get("status", {}).get("phase")
    if phase == "Active":
        return READY
    return Readiness(ready=False, waiting_for=f"Namespace is {phase}", reasons=(f"The Namespace is {phase}",))


def definition(_: ObjectClient, live: Object) -> Readiness:
    """A CustomResourceDefinition whose objects can be made."""
    if is_true(condition(live, "Established")):
        return READY
    names = condition(live, "NamesAccepted")
    refused = names.get("status") == "False"
    reasons = (describe(names),) if refused else ("The CustomResourceDefinition is not established",)
    return Readiness(ready=False, waiting_for="Waiting for the CRD to be established", reasons=reasons, failed=refused)


def quota(_: ObjectClient, live: Object) -> Readiness:
    """A ResourceQuota that is enforced as declared."""
    wanted, enforced = live["spec"].get("hard"), live.get("status", {}).get("hard")
    if wanted is not None and wanted == enforced:
        return READY
    reason = f"The ResourceQuota is not enforced yet: {enforced or 'nothing'} instead of {wanted or 'limits'}"
    return Readiness(ready=False, waiting_for="Waiting for the ResourceQuota to be enforced", reasons=(reason,))


def job(client: ObjectClient, live: Object) -> Readiness:
    """A Job that is complete, or that is not meant to run."""
    failed = condition(live, "Failed")
    if is_true(condition(live, "Complete")) or live["spec"].get("suspend"):
        return READY
    selector = live["spec"].get("selector", {})
    pods = reasons_of_selected(client, live["metadata"]["namespace"], selector) if selector else ()
    over = (describe(failed),) if is_true(failed) else ("The Job is not complete",)
    return Readiness(
        ready=False,
        waiting_for="Waiting for the Job to complete",
        reasons=(*over, *pods),
        failed=is_true(failed),
    )
