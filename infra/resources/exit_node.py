"""ExitNode: a gateway's node in Headscale, awaited, approved as an exit node, read back from the server.

`up` waits for a pod's node, since the pod was made just before. A machine's node (`awaited`) joins when its playbook
runs. Until then there is none, which is no failure: each `up` looks again.

A gateway that does not join holds no other back. So that is no failure here: a Verdict tells `why` at the end.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from gateway.headscale import EXIT_ROUTES, exit_nodes
from gateway.headscale.errors import NotFoundError, RefusedError
from infra.kubernetes import rollout
from infra.resources import registration, servers
from infra.resources.base import Props, Provider, ResourceError, log
from infra.resources.connections import Connections

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from gateway.headscale.models import Node

_NOT_JOINED: dict[str, Any] = {
    "node_id": "",
    "node_name": "",
    "addresses": [],
    "node_key": "",
    "routes": [],
    "node_tags": [],
    "why": "",
    servers.KEY: None,
}

_IDENTITY = ("server", "user", "volume")
"""With another one of these the gateway joins anew (infra/components/gateway_containers.py)."""


class ExitNodeProvider(Provider):
    """Headscale calls: create 2 and one a poll, read 1 (servers before 0.26 keep routes apart: one more each)."""

    INPUTS = ("server", "pre_auth_key_id", "volume", "hostname", "user", "tags", "namespace", "deployment", "container")

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """A gateway stays what it is: a machine's would be taken for the pod's node, and the other way round."""
        if olds and bool(olds.get("awaited")) != bool(news.get("awaited")):
            kind = "a machine" if olds.get("awaited") else "in the cluster"
            yield "", f"gateway {news['hostname']} is {kind}, which cannot change: add one of another name in its place"

    @override
    def drifted(self, olds: Props, news: Props) -> bool:
        """Whether somebody took the approval or a tag back, or it had not joined yet, or not anew."""
        tags = _wanted_tags(olds, news)
        untagged = tags is not None and set(tags) != set(olds.get("node_tags") or ())
        return bool(olds.get("why")) or untagged or not set(EXIT_ROUTES) <= set(olds.get("routes") or ())

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """Approve the node, after waiting for a pod's. The id is the host name, which outlives a node's number."""
        with connections.headscale() as headscale:
            try:
                return props["hostname"], _approved(connections, headscale, {}, props)
            except ResourceError as error:
                return props["hostname"], _NOT_JOINED | {"why": str(error)}

    @override
    def look_up(self, connections: Connections, id_: str, props: Props) -> dict[str, Any] | None:
        """The node as Headscale has it."""
        with connections.headscale() as headscale:
            if servers.is_another(headscale, props):
                return None
            if not props["node_id"]:
                node = exit_nodes.find(headscale, _expected(props))
                return _outputs(node) if node else _NOT_JOINED | {"why": props.get("why") or ""}
            try:
                return _outputs(headscale.node(props["node_id"]))
            except NotFoundError:
                return None

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Approve again; when the gateway joined anew, its new node takes the place of the old.

        What failed is as it was, but for `why`: the next time it must still be made what the inputs say.
        """
        with connections.headscale() as headscale:
            try:
                return _changed(connections, headscale, olds, news)
            except ResourceError as error:
                return {**dict.fromkeys(self.INPUTS), **olds, "why": str(error)}

    @override
    def remove(self, connections: Connections, id_: str, props: Props) -> None:
        """Take the node out of the mesh, also one that joined after the last `up`."""
        with connections.headscale() as headscale:
            if servers.is_left(headscale, props, f"Node {props['node_id']}"):
                return
            node_id = props["node_id"]
            if not node_id and (node := exit_nodes.find(headscale, _expected(props))):
                node_id = node.id
            if node_id:
                exit_nodes.delete(headscale, node_id)


def _changed(connections: Connections, headscale: "Headscale", olds: Props, news: Props) -> dict[str, Any]:
    """The outputs of the node that it was, or of the one that takes its place."""
    if servers.is_left(headscale, olds, f"Node {olds['node_id']}"):
        return _approved(connections, headscale, {}, news)
    outputs, known = _approved(connections, headscale, olds, news), olds["node_id"]
    if known and outputs["node_id"] and outputs["node_id"] != known:
        node = exit_nodes.succeed(headscale, headscale.node(outputs["node_id"]), known)
        return outputs | _outputs(node)
    return outputs


def _approved(connections: Connections, headscale: "Headscale", olds: Props, props: Props) -> dict[str, Any]:
    """The outputs of the node with what these inputs declare; `olds` are those of its last time on this server."""
    expected, tags = _expected(props, olds), _wanted_tags(olds, props)
    if not props.get("awaited"):
        namespace, deployment = props["namespace"], props["deployment"]
        if why := rollout.wait_for_start(connections.cluster, namespace, deployment):
            raise ResourceError(
                f"Gateway {expected.hostname} has not started, Deployment {namespace}/{deployment}: {why}."
            )
        node = exit_nodes.wait(headscale, expected, props["deadline_seconds"])
        if node is None:
            raise ResourceError(registration.failure(headscale, connections.cluster, expected, props))
        return servers.known(headscale) | _outputs(_made(headscale, node, tags))
    node = exit_nodes.find(headscale, expected)
    if node and node.offers_exit:
        return servers.known(headscale) | _outputs(_made(headscale, node, tags))
    if node:
        log.warning("%s", registration.sentence(headscale, expected))
        return servers.known(headscale) | _outputs(node)
    log.warning("Gateway %s has not joined yet: run the playbook, then `pulumi up` again.", expected.hostname)
    return _NOT_JOINED


def _made(headscale: "Headscale", node: "Node", tags: list[str] | None) -> "Node":
    """The node as it is to be; a refusal of tags says what they need."""
    node = exit_nodes.approve(headscale, node)
    try:
        return exit_nodes.approve(headscale, node, tags)
    except RefusedError as error:
        raise ResourceError(
            f"{error} The gateway's `tags` must be among `tagOwners` of the mesh's policy: add them there, such as by "
            "`headscale.policy`, or take them out. A node keeps its last tag until it joins anew."
        ) from error


def _wanted_tags(olds: Props, news: Props) -> list[str] | None:
    """The tags that the node is to have, and no other. Without a declared one it loses those that we gave, if any."""
    if declared := news.get("tags"):
        return list(declared)
    given = set(olds.get("tags") or ())
    return [tag for tag in olds.get("node_tags") or () if tag not in given] if given else None


def _expected(props: Props, olds: Props | None = None) -> exit_nodes.ExpectedNode:
    """The node by the inputs and, if there was one before, by its id. A pod's is another one with another identity."""
    olds = olds or {}
    anew = bool(olds) and not props.get("awaited") and any(olds.get(name) != props.get(name) for name in _IDENTITY)
    return exit_nodes.ExpectedNode(
        props["hostname"], props["user"], props["pre_auth_key_id"], olds.get("node_id"), anew
    )


def _outputs(node: "Node") -> dict[str, Any]:
    return {
        "node_id": node.id,
        "node_name": node.given_name,
        "addresses": list(node.addresses),
        "node_key": node.node_key,
        "routes": sorted(node.approved_routes),
        "node_tags": sorted(node.tags),
        "why": "",
    }


class ExitNode(Resource, module="meshgate", name="ExitNode"):
    """The node of the gateway that joins with a pre-auth key, approved as an exit node.

    Inputs: `server`, the URL, `pre_auth_key_id`, `user`, `volume` and `hostname` tell which node; `tags` are what it is
    to have, which is left as it is where there are none. A pod's node may take `deadline_seconds` to come; the log of
    `namespace`, `deployment`, `container` tells why it did not. `up` does not wait for an `awaited` node, which has no
    pod: its outputs are empty until it has joined.
    """

    node_id: Output[str]
    """Headscale's."""
    node_name: Output[str]
    """Its name in the mesh."""
    addresses: Output[list[str]]
    """In the mesh: IPv4, IPv6."""
    node_key: Output[str]
    """`nodekey:…`, its key among mesh peers; never a key for native clients."""
    routes: Output[list[str]]
    """Those approved, sorted."""
    node_tags: Output[list[str]]
    """Those that it has, sorted."""
    why: Output[str]
    """Why it is not what the inputs say; empty when it is, and of an `awaited` node that has not joined yet."""

    def __init__(
        self,
        name: str,
        *,
        server: Input[str],
        pre_auth_key_id: Input[str],
        user: Input[str],
        hostname: Input[str],
        volume: Input[str] | None = None,
        tags: Sequence[str] = (),
        namespace: Input[str] | None = None,
        deployment: Input[str] | None = None,
        container: Input[str] = "tailscale",
        deadline_seconds: Input[float] = 180,
        awaited: Input[bool] = False,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "server": server,
            "pre_auth_key_id": pre_auth_key_id,
            "user": user,
            "hostname": hostname,
            "volume": volume,
            "tags": sorted(tags),
            "namespace": namespace,
            "deployment": deployment,
            "container": container,
            "deadline_seconds": deadline_seconds,
            "awaited": awaited,
        }
        outputs = dict.fromkeys(_NOT_JOINED)
        super().__init__(ExitNodeProvider(), name, {**inputs, **outputs}, opts)
