"""Readiness: waits until a Deployment runs as it was declared last, and says why it does not.

The Kubernetes plugin does not wait for our Deployments. Its version 4.32 can end that wait while the old pod still runs
and no new one does, and it cannot say why a gateway does not join. What needs the pods depends on this resource.
"""

import json
from typing import TYPE_CHECKING, Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.kubernetes import rollout
from infra.kubernetes.pod_logs import last_words
from infra.resources.base import Props, Provider, ResourceError
from infra.resources.connections import Connections
from infra.resources.token import digest

if TYPE_CHECKING:
    from pulumi_kubernetes.apps.v1 import Deployment  # of the program alone: the plugin process needs no such types


class ReadinessProvider(Provider):
    """Waits when it is made, when the Deployment changed, and when a refresh saw that it is not ready."""

    INPUTS = ("namespace", "deployment", "revision")
    REPLACING = ("namespace", "deployment")

    @override
    def drifted(self, olds: Props, news: Props) -> bool:
        """Whether it was not ready when last looked at."""
        return not olds.get("ready")

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Wait until the Deployment is ready."""
        return f"{props['namespace']}/{props['deployment']}", self.change(connections, "", {}, props)

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """Whether it is ready now; gone with the Deployment."""
        found = connections.cluster.deployment(props["namespace"], props["deployment"])
        return None if found is None else {"ready": not rollout.why_not(found)}

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Wait until the Deployment is ready."""
        cluster, namespace, name = connections.cluster, news["namespace"], news["deployment"]
        if why := rollout.wait_for_start(cluster, namespace, name):
            waited = f"has not started after {rollout.START_SECONDS:.0f} s"
        elif why := rollout.wait(cluster, namespace, name, news["deadline_seconds"]):
            waited = f"is not ready {news['deadline_seconds']:.0f} s after its start"
        else:
            return {"ready": True}
        words = last_words(cluster, namespace, name)
        raise ResourceError("\n".join(filter(None, (f"Deployment {namespace}/{name} {waited}: {why}.", words))))


def _plain(value: object) -> object:
    """The value without the SDK's types, whose attributes `items` and `values` are in the way of a dict's methods."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in dict.items(value)}
    return [_plain(one) for one in value] if isinstance(value, list) else value


class Readiness(Resource, module="meshgate", name="Readiness"):
    """A Deployment that is not awaited by the Kubernetes plugin (`NOT_AWAITED`), and is waited for here.

    Its pods may take `deadline_seconds` from their start until they are ready.
    """

    ready: Output[bool]
    """Whether it was when last looked at."""

    def __init__(
        self,
        name: str,
        *,
        deployment: "Deployment",
        deadline_seconds: Input[float] = 180,
        opts: ResourceOptions | None = None,
    ) -> None:
        metadata = deployment.metadata
        inputs = {
            "namespace": metadata.namespace,
            "deployment": metadata.name,
            # Its generation is not known in a preview.
            "revision": deployment.spec.apply(lambda spec: digest(json.dumps(_plain(spec), sort_keys=True))),
            "deadline_seconds": deadline_seconds,
        }
        super().__init__(ReadinessProvider(), name, {**inputs, "ready": None}, opts)
