"""The little that the lab itself asks of Kubernetes: apply manifests, look at objects."""

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient

from console.errors import StepError
from console.run import capture
from console.waiting import until
from infra.kubernetes import rollout
from infra.kubernetes.client import KubernetesClient
from lab import paths
from lab.tools import go_builds, pinned_tools

MANIFESTS = Path(__file__).with_name("manifests")


def client() -> ApiClient:
    """Return a client of the lab's cluster; the user's own kubeconfig is not looked at."""
    api: ApiClient = new_client_from_config(str(paths.KUBECONFIG))
    return api


def kubectl(*arguments: str) -> str:
    """Run the lab's kubectl on its cluster and return what it printed; raise StepError if it fails."""
    program = go_builds.resolve(pinned_tools.KUBE).with_name("kubectl")
    # What it learns of the API it would else write into the user's home.
    options = (f"--kubeconfig={paths.KUBECONFIG}", f"--cache-dir={paths.RUN / 'kubectl'}")
    return capture([program, *options, *arguments], doing=f"run `kubectl {' '.join(arguments)}`")


def manifest(name: str, values: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Return the objects of `manifests/<name>.yaml`, each `${key}` filled in."""
    text = (MANIFESTS / f"{name}.yaml").read_text()
    return [one for one in yaml.safe_load_all(Template(text).substitute(values or {})) if one]


def apply(objects: list[dict[str, Any]], manager: str) -> None:
    """Apply objects in their order by server-side apply, as that field manager."""
    with client() as api:
        # Its own cache of what kinds there are, which would else lie in the host's /tmp.
        dynamic = DynamicClient(api, cache_file=str(paths.RUN / "kinds.json"))
        for one in objects:
            kind = dynamic.resources.get(api_version=one["apiVersion"], kind=one["kind"])
            dynamic.server_side_apply(
                kind,
                body=one,
                name=one["metadata"]["name"],
                namespace=one["metadata"].get("namespace"),
                field_manager=manager,
                force_conflicts=True,
            )


def secret_value(namespace: str, name: str, key: str) -> str | None:
    """Return one value of a Secret; None when there is no such Secret or key."""
    # With its thousand models it takes each command longer to load than all else.
    from kubernetes.client import CoreV1Api

    with client() as api:
        try:
            data = CoreV1Api(api).read_namespaced_secret(name, namespace).data or {}
        except ApiException as error:
            if error.status == 404:
                return None
            raise
    return b64decode(data[key]).decode() if key in data else None


def environment(namespace: str, deployment: str) -> dict[str, str]:
    """Return the env of a Deployment's first container; of a Secret's value only where it is."""
    from kubernetes.client import AppsV1Api  # see secret_value

    with client() as api:
        found: Any = AppsV1Api(api).read_namespaced_deployment(deployment, namespace)
    entries = found.spec.template.spec.containers[0].env or []
    return {entry.name: entry.value or _source(entry.value_from) for entry in entries}


def _source(reference: Any) -> str:  # noqa: ANN401
    secret = reference and reference.secret_key_ref
    return f"(key {secret.key} of Secret {secret.name})" if secret else ""


def node_ready() -> bool:
    """Say whether the node reports itself Ready."""
    from kubernetes.client import CoreV1Api  # see secret_value

    with client() as api:
        nodes: list[Any] = CoreV1Api(api).list_node().items
    return any(
        condition.type == "Ready" and condition.status == "True"
        for node in nodes
        for condition in node.status.conditions or []
    )


def wait_for_rollout(namespace: str, name: str, deadline: float) -> None:
    """Wait until a Deployment's newest pods, and no others, are available."""
    with KubernetesClient(None, str(paths.KUBECONFIG)) as cluster:
        until(
            lambda: not rollout.why_not(cluster.deployment(namespace, name)),
            deadline=deadline,
            otherwise=lambda: StepError(
                f"Deployment {namespace}/{name} is not rolled out after {deadline:.0f} s: "
                f"{rollout.explain(cluster, namespace, name)}."
            ),
        )
