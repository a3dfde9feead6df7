"""The nodes of an app's devices: those that joined by the keys of one user."""

from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.headscale.errors import NotFoundError

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale


def take_out(headscale: "Headscale", user: str) -> None:
    """Let nobody join by a user's keys any more, and take the nodes that did out of the mesh."""
    try:
        owner = headscale.user(user)
    except NotFoundError:
        return  # and with it its keys, by which alone its nodes are known
    # First the keys: a node that joins while the others are taken out would stay.
    for key in headscale.pre_auth_keys(owner):
        headscale.expire_pre_auth_key(owner, key)
    for node in headscale.nodes():
        joined_by = node.pre_auth_key
        if joined_by and joined_by.user and joined_by.user.name == user:
            with suppress(NotFoundError):
                headscale.delete_node(node.id)
