"""Readiness: waits until a Deployment runs as it was declared last, and says why it does not.

The Kubernetes plugin does not wait for our Deployments. Its version 4.32 can end that wait while the old pod still runs
and no new one does, and it cannot say why a gateway does not join. What needs the pods depends on this resource.

One that many others do not need does not fail: its `why` is told at the end, by a Verdict.
"""

import json
from typing import TYPE_CHECKING, Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.kubernetes import rollout
from infra.kubernetes.client import KubernetesClient
from infra.kubernetes.pod_logs import last_words
from infra.resources.base import Props, Provider, ResourceError
from infra.resources.connections import Connections
from infra.resources.token import digest

if TYPE_CHECKING:
    from pulumi_kubernetes.apps.v1 import Deployment  # of the program alone: the plugin process needs no such types

_READY: dict[str, Any] = {"ready": True, "why": "", "stood": True}


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
        if found is None:
            return None
        return {"ready": False} if props.get("held_up") or rollout.why_not(found) else _READY

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Wait until the Deployment is ready, unless it is known that it cannot be."""
        why = "" if news.get("held_up") else _why_not(connections.cluster, news)
        if why and not news.get("judged"):
            raise ResourceError(why)
        if why or news.get("held_up"):
            # What an older program made without a word of that has been ready.
            return {"ready": False, "why": why, "stood": bool(olds) and olds.get("stood", True)}
        return _READY


def _why_not(cluster: KubernetesClient, props: Props) -> str:
    """Empty once the Deployment is ready; else, when its time is over, why it is not, with its containers' words."""
    namespace, name, seconds = props["namespace"], props["deployment"], props["deadline_seconds"]
    if why := rollout.wait_for_start(cluster, namespace, name):
        waited = f"has not started after {rollout.START_SECONDS:.0f} s"
    elif why := rollout.wait(cluster, namespace, name, seconds):
        waited = f"is not ready {seconds:.0f} s after its start"
    else:
        return ""
    words = last_words(cluster, namespace, name)
    return "\n".join(filter(None, (f"Deployment {namespace}/{name} {waited}: {why}.", words)))


def _plain(value: object) -> object:
    """The value without the SDK's types, whose attributes `items` and `values` are in the way of a dict's methods."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in dict.items(value)}
    return [_plain(one) for one in value] if isinstance(value, list) else value


class Readiness(Resource, module="meshgate", name="Readiness"):
    """A Deployment that is not awaited by the Kubernetes plugin (`NOT_AWAITED`), and is waited for here.

    Its pods may take `deadline_seconds` from their start until they are ready. One that is `judged` does not fail when
    they are not: a Verdict does. It does not wait for what is `held_up`, which is a sentence that is told already.
    """

    ready: Output[bool]
    """Whether it was when last looked at."""
    why: Output[str]
    """Why it was not when it was last waited for; empty when it was, and when that is told already."""
    stood: Output[bool]
    """Whether it has ever been ready."""

    def __init__(
        self,
        name: str,
        *,
        deployment: "Deployment",
        deadline_seconds: Input[float] = 180,
        judged: bool = False,
        held_up: Input[str] | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        metadata = deployment.metadata
        inputs = {
            "namespace": metadata.namespace,
            "deployment": metadata.name,
            # Its generation is not known in a preview.
            "revision": deployment.spec.apply(lambda spec: digest(json.dumps(_plain(spec), sort_keys=True))),
            "deadline_seconds": deadline_seconds,
            "judged": judged,
            "held_up": held_up,
        }
        super().__init__(ReadinessProvider(), name, {**inputs, **dict.fromkeys(_READY)}, opts)
