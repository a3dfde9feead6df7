"""Calls about nodes: their routes, tags and names."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from gateway.headscale.calls.typed import TypedSession, segment
from gateway.headscale.errors import NotFoundError, RefusedError
from gateway.headscale.models import Node, Route
from gateway.headscale.session import Call


class NodeCalls(TypedSession):
    """Nodes, with their routes: up to 0.25 these are an API of their own."""

    def nodes(self, user_name: str | None = None) -> list[Node]:
        """All nodes, or those that a user owns (tagged ones are owned by none from 0.28 on)."""
        query = {"user": user_name} if user_name else {}
        return self._nodes_of(self.send(Call("GET", "node", query)).get("nodes", []), "routes")

    def nodes_from(self, user_name: str) -> Iterator[Node]:
        """All nodes, one after another, first those that the user owns: the others are asked for when it is their turn.

        A stack's nodes are few among a server's. A server up to 0.25 is not asked for their routes.
        """
        own: list[Node] = []
        with suppress(NotFoundError, RefusedError):  # an OIDC user and another one may share a name
            own = self._list(Node, "nodes", "node", {"user": user_name})
        yield from own
        known = {node.id for node in own}
        yield from (node for node in self._list(Node, "nodes", "node") if node.id not in known)

    def node(self, node_id: str) -> Node:
        """The node of that id; raises NotFoundError."""
        path = f"node/{segment(node_id)}"
        return self._nodes_of([self.send(Call("GET", path)).get("node")], f"{path}/routes")[0]

    def approve_routes(self, node: Node, routes: Iterable[str]) -> Node:
        """The node with these routes approved besides those that were.

        Raises NotFoundError when the node is gone or, before 0.26, does not advertise one of the routes.
        """
        wanted = set(routes)
        if (rows := node.route_rows) is None:
            body = {"routes": sorted(wanted | set(node.approved_routes))}
            call = Call("POST", f"node/{segment(node.id)}/approve_routes", body=body, repeatable=True)
            return self._one(Node, "node", call)
        if missing := wanted - {row.prefix for row in rows if row.advertised}:
            raise NotFoundError(
                f"Node {node.given_name} at {self.url} does not advertise {', '.join(sorted(missing))}."
            )
        for row in rows:
            if row.prefix in wanted and not row.enabled:
                self.send(Call("POST", f"routes/{segment(row.id)}/enable", body={}, repeatable=True))
        return self.node(node.id)

    def set_tags(self, node: Node, tags: Iterable[str]) -> Node:
        """The node with these tags and no other; from 0.28 on, only with tags that the policy knows, and not without.

        Raises RefusedError, and NotFoundError when the node is gone.
        """
        body = {"tags": sorted(tags)}
        self.send(Call("POST", f"node/{segment(node.id)}/tags", body=body, repeatable=True))
        return self.node(node.id)

    def rename_node(self, node: Node, name: str) -> Node:
        """The node with this name in the mesh; raises ConflictError or RefusedError when another node has it."""
        path = f"node/{segment(node.id)}/rename/{segment(name)}"
        self.send(Call("POST", path, body={}, repeatable=True))
        return self.node(node.id)

    def delete_node(self, node_id: str) -> None:
        """Remove the node from the mesh; raises NotFoundError when it is gone."""
        self.send(Call("DELETE", f"node/{segment(node_id)}"))

    def _nodes_of(self, items: list[Any], rows_path: str) -> list[Node]:
        """Nodes as answered; where routes are an API of their own, with that one's rows put in."""
        nodes = [self._parsed(Node, item) for item in items]
        if all(isinstance(item, dict) and "approvedRoutes" in item for item in items):
            return nodes
        rows = self._list(Route, "routes", rows_path)
        return [node.with_routes([row for row in rows if row.node_id == node.id]) for node in nodes]
