"""Whether a Deployment is rolled out, and why not."""

from typing import Any

import pytest

from infra.kubernetes import rollout

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


def test_a_deployment_that_is_rolled_out_has_no_trouble() -> None:
    ready = UNREADY | {"status": {**UNREADY["status"], "availableReplicas": 1}}
    ended = {"containerStatuses": [{"name": "main", "state": {"terminated": {"reason": "Completed"}}}]}
    assert not rollout.why_not(ready, [{"metadata": {"name": "old"}, "status": ended}])


def test_a_deployment_that_is_not_there() -> None:
    assert rollout.why_not(None) == "it does not exist"
