"""ExitNode: a gateway's node in Headscale, awaited, approved as an exit node, read back from the server.

The node is known by the pre-auth key that it joined with; one that joined by an earlier key (a volume that outlived
the stack's state) by its host name and owner.
"""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.headscale import EXIT_ROUTES
from infra.headscale.errors import NotFoundError, UnavailableError
from infra.resources import registration
from infra.resources.base import Props, Provider, ResourceError
from infra.resources.polling import poll

if TYPE_CHECKING:
    from infra.headscale.client import Headscale
    from infra.headscale.models import Node


class ExitNodeProvider(Provider):
    """Headscale calls: create 2 and one a poll, read 1 (servers before 0.26 keep routes apart: one more each)."""

    INPUTS = ("pre_auth_key_id", "hostname", "user", "namespace", "deployment", "container")

    @override
    def drifted(self, olds: Props, news: Props) -> bool:
        """Whether somebody took the approval back."""
        return not set(EXIT_ROUTES) <= set(olds.get("routes") or ())

    @override
    def make(self, props: Props) -> tuple[str, dict[str, Any]]:
        """Wait for the node and approve it. The id is the host name: a node that joins anew has a new node id."""
        with self.connections.headscale() as headscale:
            return props["hostname"], _outputs(self._approved(headscale, props, None))

    @override
    def look_up(self, id_: str, props: Props) -> dict[str, Any] | None:
        """The node as Headscale has it."""
        with self.connections.headscale() as headscale:
            try:
                return _outputs(headscale.node(props["node_id"]))
            except NotFoundError:
                return None

    @override
    def change(self, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Approve again; when the gateway joined anew, its new node takes the place of the old."""
        with self.connections.headscale() as headscale:
            node = self._approved(headscale, news, olds["node_id"])
            if node.id != olds["node_id"]:
                _delete(headscale, olds["node_id"])
            return _outputs(node)

    @override
    def remove(self, id_: str, props: Props) -> None:
        """Take the node out of the mesh."""
        with self.connections.headscale() as headscale:
            _delete(headscale, props["node_id"])

    def _approved(self, headscale: "Headscale", props: Props, known_id: str | None) -> "Node":
        node = poll(partial(_look, headscale, props, known_id), props["deadline_seconds"])
        if node is None:
            raise ResourceError(registration.failure(headscale, self.connections.cluster(), props))
        if not node.is_exit:
            node = headscale.approve_routes(node, EXIT_ROUTES)
        return node


def _look(headscale: "Headscale", props: Props, known_id: str | None) -> "Node | None":
    try:
        nodes = headscale.nodes()
    except UnavailableError:  # a server that restarts meanwhile is no failure; at the deadline it is told
        return None
    return next((node for node in _ours(nodes, props, known_id) if node.connected and node.offers_exit), None)


def _ours(nodes: "Iterable[Node]", props: Props, known_id: str | None) -> "list[Node]":
    """The nodes that can be the gateway, the surest first."""
    nodes = list(nodes)
    by_key = [node for node in nodes if node.pre_auth_key_id == props["pre_auth_key_id"]]
    by_id = [node for node in nodes if node.id == known_id]
    by_name = [node for node in nodes if node.name == props["hostname"] and _owned(node, props)]
    return [*by_key, *by_id, *by_name]


def _owned(node: "Node", props: Props) -> bool:
    """Whether the node is of our user; a tagged one is by the key that it joined with."""
    owners = {user.name for user in (node.user, node.pre_auth_key and node.pre_auth_key.user) if user}
    return props["user"] in owners


def _delete(headscale: "Headscale", node_id: str) -> None:
    with suppress(NotFoundError):
        headscale.delete_node(node_id)


def _outputs(node: "Node") -> dict[str, Any]:
    return {
        "node_id": node.id,
        "node_name": node.given_name,
        "addresses": list(node.addresses),
        "node_key": node.node_key,
        "routes": sorted(node.approved_routes),
    }


class ExitNode(Resource, module="meshgate", name="ExitNode"):
    """The node of the gateway that joins with a pre-auth key, approved as an exit node.

    Inputs: `pre_auth_key_id`, `user` and `hostname` tell which node; `deadline_seconds` how long it may take to come;
    `namespace`, `deployment`, `container` whose log tells why it did not.
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

    def __init__(
        self,
        name: str,
        *,
        pre_auth_key_id: Input[str],
        user: Input[str],
        hostname: Input[str],
        namespace: Input[str],
        deployment: Input[str],
        container: Input[str] = "tailscale",
        deadline_seconds: Input[float] = 180,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {
            "pre_auth_key_id": pre_auth_key_id,
            "user": user,
            "hostname": hostname,
            "namespace": namespace,
            "deployment": deployment,
            "container": container,
            "deadline_seconds": deadline_seconds,
        }
        outputs = dict.fromkeys(("node_id", "node_name", "addresses", "node_key", "routes"))
        super().__init__(ExitNodeProvider(), name, {**inputs, **outputs}, opts)
