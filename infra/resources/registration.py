"""Why a gateway did not appear in Headscale: said in one sentence, with what its pod logged last."""

from typing import TYPE_CHECKING

from gateway.headscale import exit_nodes
from gateway.headscale.redaction import redact
from infra.kubernetes.client import ClusterError, KubernetesClient
from infra.resources.base import Props

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale

LOG_LINES = 15
LOG_CHARACTERS = 2000
_NEW_KEY = "`pulumi up --refresh` makes a new one"


def failure(headscale: "Headscale", cluster: KubernetesClient, expected: exit_nodes.ExpectedNode, props: Props) -> str:
    """The sentence on a gateway that was waited for and, below it, the tail of its pod's log."""
    waited = f" after {props['deadline_seconds']:.0f} s"
    return f"{sentence(headscale, expected, waited)}\n{_log(cluster, props)}"


def sentence(headscale: "Headscale", expected: exit_nodes.ExpectedNode, waited: str = "") -> str:
    """Why the gateway is no exit node."""
    why = exit_nodes.why_none(headscale, expected, new_key=_NEW_KEY)
    return f"Gateway {expected.hostname} is no exit node of {headscale.url}{waited}: {why}."


def _log(cluster: KubernetesClient, props: Props) -> str:
    namespace, deployment, container = props["namespace"], props["deployment"], props["container"]
    where = f"container {container} of Deployment {namespace}/{deployment}"
    try:
        found = cluster.deployment(namespace, deployment)
        if found is None:
            return f"Deployment {namespace}/{deployment} does not exist."
        pods = cluster.pods(found)
        if not pods:
            return f"Deployment {namespace}/{deployment} has no pod."
        text = cluster.logs(namespace, pods[-1]["metadata"]["name"], container, LOG_LINES)
    except ClusterError as error:
        return f"The log of {where} cannot be read: {error}"
    tail = redact(text.strip())[-LOG_CHARACTERS:]
    if not tail:
        return f"The log of {where} is empty: see `kubectl -n {namespace} describe deployment {deployment}`."
    lines = "\n".join(f"    {line}" for line in tail.splitlines())
    return f"What {where} logged last:\n{lines}"
