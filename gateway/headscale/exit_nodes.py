"""A gateway's node in Headscale: found, awaited, approved as an exit node; and, when it is none, why.

The node is known by the pre-auth key that it joined with. A node whose volume outlived the stack's state joined by
another key: it is known by the id that it had, or by its host name and owner.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.errors import ConflictError, HeadscaleError, NotFoundError, RefusedError, UnavailableError
from gateway.headscale.models import TAGGED
from gateway.headscale.polling import poll

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from gateway.headscale.models import Node


@dataclass(frozen=True)
class ExpectedNode:
    """What tells a gateway's node from others."""

    hostname: str
    user: str
    """Name of the Headscale user whose key it joins with."""
    pre_auth_key_id: str | None = None
    node_id: str | None = None
    """Of the node that it was when last seen."""
    anew: bool = False
    """Whether it must join by that very key. The node that it was may look connected for a while, and is none."""


def candidates(headscale: "Headscale", expected: ExpectedNode) -> "list[Node]":
    """The nodes that can be the gateway, the surest first; those that it was before are among them."""
    nodes = headscale.nodes()
    by_key = [node for node in nodes if expected.pre_auth_key_id and node.pre_auth_key_id == expected.pre_auth_key_id]
    if expected.anew:
        return by_key
    by_id = [node for node in nodes if node.id == expected.node_id]
    by_name = [node for node in nodes if node.name == expected.hostname and owned(node, expected.user)]
    return list({node.id: node for node in (*by_key, *by_id, *by_name)}.values())


def find(headscale: "Headscale", expected: ExpectedNode) -> "Node | None":
    """The gateway's node: one that is an exit node, or could be now, before any other; then the surest."""
    nodes = candidates(headscale, expected)
    return next(filter(_serves, nodes), nodes[0] if nodes else None)


def wait(headscale: "Headscale", expected: ExpectedNode, deadline_seconds: float) -> "Node | None":
    """The gateway's node once it is connected and offers the exit routes, or None at the deadline."""
    return poll(_Watch(headscale, expected).look, deadline_seconds)


def approve(headscale: "Headscale", node: "Node", tags: Collection[str] | None = None) -> "Node":
    """The node with both exit routes approved, besides what else is, and with these tags alone; with any when None."""
    if not node.is_exit:
        node = headscale.approve_routes(node, EXIT_ROUTES)
    return node if tags is None or set(tags) == set(node.tags) else headscale.set_tags(node, tags)


def reconnects(headscale: "Headscale", node_ids: Sequence[str], within_seconds: float) -> bool:
    """Whether one of these nodes, which are away, is connected again within that time."""
    return bool(node_ids) and bool(
        poll(lambda: any(_is_connected(headscale, id_) for id_ in node_ids) or None, within_seconds)
    )


def succeed(headscale: "Headscale", node: "Node", former_id: str) -> "Node":
    """The node in the place of the one that it was before, and with its name: it joined while that one had it."""
    delete(headscale, former_id)
    if node.given_name == node.name:
        return node
    try:
        return headscale.rename_node(node, node.name)
    except (ConflictError, RefusedError):  # a third one has the name
        return node


def delete(headscale: "Headscale", node_id: str) -> None:
    """Take the node out of the mesh; done when it is gone."""
    with suppress(NotFoundError):
        headscale.delete_node(node_id)


def why_none(headscale: "Headscale", expected: ExpectedNode, *, new_key: str) -> str:
    """Why the gateway is no exit node, as a clause. `new_key` is a clause that says how to get a new pre-auth key."""
    try:
        return _why_none(headscale, expected, new_key)
    except HeadscaleError as error:
        return str(error).rstrip(".")


class _Watch:
    """Looks again and again: among all nodes until the gateway has joined, and then at its node alone.

    Every tenth look is among all again, since a gateway may join a second time by a key that several may use.
    """

    def __init__(self, headscale: "Headscale", expected: ExpectedNode) -> None:
        self._headscale = headscale
        self._expected = expected
        self._node_id = expected.node_id
        self._looks = 0

    def look(self) -> "Node | None":
        """The node, once it is connected and offers the exit routes."""
        try:
            return next(filter(_serves, self._nodes()), None)
        except UnavailableError:  # a server that restarts meanwhile is no failure; at the deadline it is told
            return None

    def _nodes(self) -> "list[Node]":
        self._looks += 1
        if self._node_id and self._looks % 10:
            with suppress(NotFoundError):
                node = self._headscale.node(self._node_id)
                if self._has_joined(node):
                    return [node]
        nodes = candidates(self._headscale, self._expected)
        self._node_id = next((node.id for node in nodes if self._has_joined(node)), None)
        return nodes

    def _has_joined(self, node: "Node") -> bool:
        key_id = self._expected.pre_auth_key_id
        return key_id is not None and node.pre_auth_key_id == key_id


def _is_connected(headscale: "Headscale", node_id: str) -> bool:
    try:
        return headscale.node(node_id).connected
    except (NotFoundError, UnavailableError):
        return False


def _serves(node: "Node") -> bool:
    return node.connected and not node.expired and node.offers_exit


def owned(node: "Node", user: str) -> bool:
    """Whether the node is of that user; a tagged one is by the key that it joined with."""
    return user in _owners(node)


def is_of_another(node: "Node", user: str) -> bool:
    """Whether the node is of another user for sure: of a tagged one nobody knows once its key is gone."""
    return bool(owners := _owners(node)) and user not in owners


def _owners(node: "Node") -> set[str]:
    owners = (node.user, node.pre_auth_key and node.pre_auth_key.user)
    return {owner.name for owner in owners if owner} - {TAGGED}


def _why_none(headscale: "Headscale", expected: ExpectedNode, new_key: str) -> str:
    key_id = expected.pre_auth_key_id
    joined = [node for node in candidates(headscale, expected) if key_id in (None, node.pre_auth_key_id)]
    if joined:
        return _state(joined[0], new_key)
    try:
        user = headscale.user(expected.user)
    except NotFoundError:
        return f"user {expected.user} does not exist"
    if key_id is None:
        return f"user {user.name} has no node of that name, so tailscaled did not reach Headscale"
    key = next((key for key in headscale.pre_auth_keys(user) if key.id == key_id), None)
    if key is None:
        return f"its pre-auth key {key_id} does not exist any more; {new_key}"
    if key.used:
        return f"its pre-auth key {key_id} was used up by a node that is gone; {new_key}"
    if not key.usable:
        return f"its pre-auth key {key_id} expired unused; {new_key}"
    return f"nobody has used its pre-auth key {key_id} yet, so tailscaled did not reach Headscale"


def _state(node: "Node", new_key: str) -> str:
    if node.expired:
        return f"it registered as node {node.id}, which has expired; {new_key}"
    if not node.online:
        return f"it registered as node {node.id}, which is offline"
    if not node.connected:
        return f"it registered as node {node.id}, which has not asked for its network map yet"
    return f"it registered as node {node.id} but does not advertise the exit routes (--advertise-exit-node)"
