"""Why a gateway did not appear in Headscale: said in one sentence, with what its pod logged last."""

from typing import TYPE_CHECKING

from infra.headscale.errors import HeadscaleError, NotFoundError
from infra.headscale.redaction import redact
from infra.resources.base import Props
from infra.resources.cluster import Cluster, ClusterError

if TYPE_CHECKING:
    from infra.headscale.client import Headscale
    from infra.headscale.models import Node

LOG_LINES = 15
LOG_CHARACTERS = 2000


def failure(headscale: "Headscale", cluster: Cluster, props: Props) -> str:
    """The sentence and, below it, the tail of the log."""
    try:
        why = _seen_from_headscale(headscale, props)
    except HeadscaleError as error:
        why = str(error).rstrip(".")
    gateway = f"Gateway {props['hostname']} is no exit node of {headscale.url} after {props['deadline_seconds']:.0f} s"
    return f"{gateway}: {why}.\n{_log(cluster, props)}"


def _seen_from_headscale(headscale: "Headscale", props: Props) -> str:
    nodes = headscale.nodes()
    key_id = props["pre_auth_key_id"]
    node = next((node for node in nodes if node.pre_auth_key_id == key_id), None)
    if node is not None:
        return _state(node)
    try:
        keys = headscale.pre_auth_keys(headscale.user(props["user"]))
    except NotFoundError:
        return f"user {props['user']} does not exist"
    key = next((key for key in keys if key.id == key_id), None)
    if key is None:
        return f"its pre-auth key {key_id} does not exist any more; `pulumi up --refresh` makes a new one"
    if key.used:
        return f"its pre-auth key {key_id} was used up by a node that is gone; `pulumi up --refresh` makes a new one"
    if not key.usable:
        return f"its pre-auth key {key_id} expired unused; `pulumi up --refresh` makes a new one"
    return f"nobody has used its pre-auth key {key_id} yet, so tailscaled did not reach Headscale"


def _state(node: "Node") -> str:
    if not node.online:
        return f"it registered as node {node.id}, which is offline"
    if not node.connected:
        return f"it registered as node {node.id}, which has not asked for its network map yet"
    return f"it registered as node {node.id} but does not advertise the exit routes (--advertise-exit-node)"


def _log(cluster: Cluster, props: Props) -> str:
    namespace, deployment, container = props["namespace"], props["deployment"], props["container"]
    where = f"container {container} of Deployment {namespace}/{deployment}"
    try:
        found = cluster.deployment(namespace, deployment)
        if found is None:
            return f"Deployment {namespace}/{deployment} does not exist."
        pods = cluster.pods(namespace, found["spec"]["selector"]["matchLabels"])
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
