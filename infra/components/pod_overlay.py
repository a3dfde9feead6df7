"""Lays the settings of the section `pod` over a pod's template."""

from collections.abc import Mapping
from typing import Any

from infra.settings.pod import PodSettings
from infra.settings.resources import changed


def laid_over(template: Mapping[str, Any], pod: PodSettings) -> dict[str, object]:
    """The template, metadata and spec, with what the settings say; labels and annotations of ours stay."""
    metadata, spec = template["metadata"], template["spec"]
    return {
        "metadata": {
            "labels": {**pod.labels, **metadata["labels"]},
            "annotations": {**pod.annotations, **metadata["annotations"]},
        },
        "spec": {**spec, **_placement(pod), "containers": [_container(one, pod) for one in spec["containers"]]},
    }


def _placement(pod: PodSettings) -> dict[str, object]:
    """The fields that something is said of; the API server keeps no empty one."""
    fields: dict[str, object] = {
        "image_pull_secrets": [{"name": name} for name in pod.image_pull_secrets],
        "node_selector": pod.node_selector,
        "tolerations": [toleration.model_dump(exclude_unset=True, exclude_none=True) for toleration in pod.tolerations],
        "affinity": pod.affinity,
        "priority_class_name": pod.priority_class,
    }
    return {name: value for name, value in fields.items() if value}


def _container(container: Mapping[str, Any], pod: PodSettings) -> dict[str, object]:
    pull = {"image_pull_policy": pod.image_pull_policy} if pod.image_pull_policy else {}
    resources = changed(container["resources"], pod.resources.of(container["name"]))
    return {**container, **pull, "resources": resources}
