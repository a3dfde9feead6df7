"""The few calls of the Kubernetes API that our providers make, in memory.

What it does with a Deployment's env is held against a real API server by tests/contract/test_workload_env.py.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.kubernetes.client import ClusterError, KubernetesClient

_Json = dict[str, Any]


class FakeCluster(KubernetesClient):
    """A cluster of Deployments with one replica each. Their containers run while `starts`, and are ready while
    `rolls_out`."""

    def __init__(self) -> None:
        super().__init__(None)
        self.secrets: dict[tuple[str, str], dict[str, str]] = {}
        self.labelled: dict[str, dict[str, str]] = {}
        """The labels of what has some, by its path."""
        self.deployments: dict[tuple[str, str], _Json] = {}
        self.rolls_out = True
        self.starts = True
        self.log = ""
        self.commands: dict[tuple[str, ...], Callable[[], str]] = {}

    def add_deployment(self, namespace: str, name: str, containers: Mapping[str, list[_Json]]) -> None:
        """As its chart would: containers by name, each with its env entries."""
        template: _Json = {"spec": {"containers": [{"name": one, "env": env} for one, env in containers.items()]}}
        self.deployments[namespace, name] = {
            "metadata": {"name": name, "namespace": namespace, "generation": 1, "managedFields": []},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template},
        }
        _own(self.deployments[namespace, name], "helm", template["spec"]["containers"])

    def pause(self, namespace: str, name: str) -> None:
        """As `kubectl rollout pause` does."""
        self.deployments[namespace, name]["spec"]["paused"] = True

    def env(self, namespace: str, name: str, container: str) -> list[_Json]:
        """A container's live env entries."""
        containers = self.deployments[namespace, name]["spec"]["template"]["spec"]["containers"]
        env: list[_Json] = next(one["env"] for one in containers if one["name"] == container)
        return env

    def edit_env(self, namespace: str, name: str, container: str, entries: Sequence[_Json]) -> None:
        """As `kubectl set env` would: set these entries, or remove those with `$patch: delete`."""
        env = self.env(namespace, name, container)
        changed = {entry["name"] for entry in entries}
        kept = [entry for entry in env if entry["name"] not in changed]
        env[:] = [*kept, *(entry for entry in entries if entry.get("$patch") != "delete")]
        self.deployments[namespace, name]["metadata"]["generation"] += 1

    def labels(self, path: str) -> dict[str, str] | None:
        return self.labelled.get(path)

    def secret(self, namespace: str, name: str) -> dict[str, str] | None:
        return self.secrets.get((namespace, name))

    def apply_secret(
        self, namespace: str, name: str, values: Mapping[str, str], labels: Mapping[str, str] | None = None
    ) -> None:
        self.secrets[namespace, name] = dict(values)
        if labels:
            self.labelled[f"/api/v1/namespaces/{namespace}/secrets/{name}"] = dict(labels)

    def delete_secret(self, namespace: str, name: str) -> None:
        self.secrets.pop((namespace, name), None)

    def deployment(self, namespace: str, name: str) -> _Json | None:
        found = copy.deepcopy(self.deployments.get((namespace, name)))
        if found is not None:
            ready = 1 if self.rolls_out else 0
            found["status"] = {
                "observedGeneration": found["metadata"]["generation"],
                "replicas": 1,
                "updatedReplicas": 1,
                "availableReplicas": ready,
            }
        return found

    def apply_deployment(self, namespace: str, name: str, spec: Mapping[str, Any], manager: str) -> _Json:
        found = self.deployments[namespace, name]
        before = copy.deepcopy(found["spec"])
        applied = spec["template"]["spec"]["containers"] if spec else []
        for container in found["spec"]["template"]["spec"]["containers"]:
            entries: list[_Json] = next((one["env"] for one in applied if one["name"] == container["name"]), [])
            given_up = _owned(found, container["name"], manager) - _owned(found, container["name"], but=manager)
            replaced = given_up | {entry["name"] for entry in entries}
            kept = [entry for entry in container["env"] if entry["name"] not in replaced]
            container["env"] = [*kept, *copy.deepcopy(entries)]
        _own(found, manager, applied)
        found["metadata"]["generation"] += before != found["spec"]
        return copy.deepcopy(found)

    def pods(self, deployment: Mapping[str, Any]) -> list[_Json]:
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        state = {"running": {}} if self.starts else waiting
        spec = deployment["spec"]["template"]["spec"]
        statuses = [{"name": one["name"], "ready": self.rolls_out, "state": state} for one in spec["containers"]]
        metadata = {"name": f"{deployment['metadata']['name']}-1", "creationTimestamp": "2026-01-01T00:00:00Z"}
        return [{"metadata": metadata, "spec": spec, "status": {"containerStatuses": statuses}}]

    def logs(self, namespace: str, pod: str, container: str, lines: int, *, previous: bool = False) -> str:
        return "" if previous else "\n".join(self.log.splitlines()[-lines:])

    def execute(self, namespace: str, deployment: str, command: Sequence[str], container: str | None = None) -> str:
        if (namespace, deployment) not in self.deployments:
            raise ClusterError(f"Deployment {namespace}/{deployment} does not exist.")
        return self.commands[tuple(command)]()


def _own(deployment: _Json, manager: str, containers: Sequence[_Json]) -> None:
    """Note what the manager applied, in the form of fieldsV1."""
    others = [one for one in deployment["metadata"]["managedFields"] if one["manager"] != manager]
    fields: _Json = {
        f'k:{{"name":"{container["name"]}"}}': {
            "f:env": {f'k:{{"name":"{entry["name"]}"}}': {} for entry in container["env"]}
        }
        for container in containers
    }
    spec = {"f:spec": {"f:template": {"f:spec": {"f:containers": fields}}}}
    ours = {"manager": manager, "operation": "Apply", "fieldsV1": spec if fields else {}}
    deployment["metadata"]["managedFields"] = [*others, ours]


def _owned(deployment: _Json, container: str, manager: str | None = None, but: str | None = None) -> set[str]:
    """The names that a manager applied, or that all of them but one did."""
    owned: set[str] = set()
    for one in deployment["metadata"]["managedFields"]:
        if manager in (None, one["manager"]) and one["manager"] != but and one["fieldsV1"]:
            containers = one["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
            env = containers.get(f'k:{{"name":"{container}"}}', {}).get("f:env", {})
            owned |= {key.removeprefix('k:{"name":"').removesuffix('"}') for key in env}
    return owned
