"""Workloads: every wanted pod of the newest template is available, and none of an older one is left."""

from dataclasses import dataclass

from lab.kubernetes_plugin.await_.pods import reasons_of_selected
from lab.kubernetes_plugin.await_.readiness import READY, Readiness, condition, describe, is_true
from lab.kubernetes_plugin.object_client import Object, ObjectClient


@dataclass(frozen=True)
class _Counts:
    """Numbers of pods: wanted, of the newest template, all, and available ones."""

    wanted: int
    updated: int
    total: int
    available: int

    @property
    def complete(self) -> bool:
        return self.updated >= self.wanted and self.total <= self.updated and self.available >= self.wanted


def deployment(client: ObjectClient, live: Object) -> Readiness:
    """A Deployment's rollout, with the controller's own complaints (quota, deadline)."""
    status = live.get("status", {})
    counts = _Counts(
        wanted=live["spec"].get("replicas", 1),
        updated=status.get("updatedReplicas", 0),
        total=status.get("replicas", 0),
        available=status.get("availableReplicas", 0),
    )
    progressing, refused = condition(live, "Progressing"), condition(live, "ReplicaFailure")
    complaints = [describe(refused)] if is_true(refused) else []
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        complaints.append(describe(progressing))
    return _rollout(client, live, counts, "app ReplicaSet", complaints)


def stateful_set(client: ObjectClient, live: Object) -> Readiness:
    """A StatefulSet's rollout."""
    status = live.get("status", {})
    counts = _Counts(
        wanted=live["spec"].get("replicas", 1),
        updated=status.get("updatedReplicas", status.get("currentReplicas", 0)),
        total=status.get("replicas", 0),
        available=status.get("availableReplicas", 0),
    )
    return _rollout(client, live, counts, "StatefulSet", [])


def daemon_set(client: ObjectClient, live: Object) -> Readiness:
    """A DaemonSet's rollout on the nodes that it is meant for."""
    status = live.get("status", {})
    updated = status.get("updatedNumberScheduled", 0)
    counts = _Counts(
        wanted=status.get("desiredNumberScheduled", 0),
        updated=updated,
        total=updated,
        available=status.get("numberAvailable", 0),
    )
    return _rollout(client, live, counts, "DaemonSet", [])


def replication_controller(client: ObjectClient, live: Object) -> Readiness:
    """A ReplicationController with as many available pods as it wants.

    One that wants none is never ready, as in the official plugin: its status leaves a count of 0 out.
    """
    wanted, available = live["spec"].get("replicas"), live.get("status", {}).get("availableReplicas")
    if wanted == available:
        return READY
    metadata = live["metadata"]
    selected = reasons_of_selected(client, metadata["namespace"], {"matchLabels": live["spec"]["selector"]})
    waiting = f"Waiting for '{wanted}' replicas of \"{metadata['name']}\" to be scheduled (have: '{available or 0}')"
    return Readiness(ready=False, waiting_for=waiting, reasons=(waiting, *selected))


def _rollout(client: ObjectClient, live: Object, counts: _Counts, what: str, complaints: list[str]) -> Readiness:
    metadata = live["metadata"]
    if live.get("status", {}).get("observedGeneration", 0) < metadata["generation"]:
        unseen = "The controller has not seen the change yet"
        return Readiness(ready=False, waiting_for=unseen, reasons=(unseen,))
    if counts.complete:
        return READY
    if counts.available < counts.wanted:
        short = "Minimum number of live Pods was not attained"
    else:
        short = "Pods of the former template are still there"
    selected = reasons_of_selected(client, metadata["namespace"], live["spec"]["selector"])
    waiting = f"Waiting for {what} to be available ({counts.available}/{counts.wanted} Pods available)"
    return Readiness(
        ready=False,
        waiting_for="; ".join((waiting, *complaints, *selected)),
        reasons=(short, *complaints, *selected),
    )
