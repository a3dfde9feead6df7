"""Whether a Deployment is rolled out, and why not."""

import time
from typing import Any

import pytest

from infra.kubernetes import rollout
from tests.unit.resources.fake_cluster import FakeCluster

UNREADY = {
    "metadata": {"generation": 1},
    "spec": {"replicas": 1},
    "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1},
}


@pytest.mark.parametrize(
    ("status", "lacking"),
    [
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, ""),
        ({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}, "not seen the change"),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}, "1 of 2 pods are of"),
        ({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}, "1 pods of the old"),
        ({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}, "1 of 2 pods of the"),
        ({}, "not seen the change"),
    ],
)
def test_rollout_is_what_kubectl_says(status: dict[str, int], lacking: str) -> None:
    why = rollout.why_not({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status})
    assert lacking in why
    assert bool(lacking) == bool(why)


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (
            {"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]},
            "container main of pod one waits: ImagePullBackOff",
        ),
        (
            {"containerStatuses": [{"name": "main", "state": {"terminated": {"reason": "Error", "message": "no"}}}]},
            "container main of pod one ended: Error no",
        ),
        (
            {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]},
            "pod one is not scheduled: Unschedulable",
        ),
    ],
)
def test_what_its_pods_say_stands_beside_it(status: dict[str, Any], trouble: str) -> None:
    pods = [{"metadata": {"name": "one"}, "status": status}]
    assert rollout.why_not(UNREADY, pods) == f"0 of 1 pods of the new version are ready; {trouble}"


@pytest.mark.parametrize(
    ("condition", "trouble"),
    [
        (
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": 'pods "june-5d8f7-" is forbidden: exceeded quota: tight, requested: pods=1, used: pods=4',
            },
            '; it gets no pod: FailedCreate pods "june-5d8f7-" is forbidden: exceeded quota: tight, requested: pods=1, '
            "used: pods=4",
        ),
        (
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "Timed out."},
            "; it makes no progress: ProgressDeadlineExceeded Timed out",
        ),
        ({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"}, ""),
        ({"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}, ""),
    ],
)
def test_what_its_controller_says_stands_beside_it(condition: dict[str, str], trouble: str) -> None:
    stuck = UNREADY | {"status": {"observedGeneration": 1, "conditions": [condition]}}
    assert rollout.why_not(stuck) == f"0 of 1 pods are of the new version{trouble}"


def test_a_paused_deployment_is_not_waited_for() -> None:
    cluster = FakeCluster()
    cluster.add_deployment("june", "june", {"main": []})
    assert not rollout.wait(cluster, "june", "june", 60)
    cluster.pause("june", "june")
    cluster.rolls_out = False
    begin = time.monotonic()
    assert "; it is paused" in rollout.wait(cluster, "june", "june", 60)
    assert time.monotonic() - begin < 10


def test_a_deployment_that_is_rolled_out_has_no_trouble() -> None:
    ready = UNREADY | {"status": {**UNREADY["status"], "availableReplicas": 1}}
    ended = {"containerStatuses": [{"name": "main", "state": {"terminated": {"reason": "Completed"}}}]}
    assert not rollout.why_not(ready, [{"metadata": {"name": "old"}, "status": ended}])


def test_a_deployment_that_is_not_there() -> None:
    assert rollout.why_not(None) == "it does not exist"
