"""The nodes of an app's devices: those that joined by the keys of one user."""

from contextlib import suppress

from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError


def take_out(headscale: Headscale, user: str) -> None:
    """Take the nodes that joined by a user's keys out of the mesh."""
    for node in headscale.nodes():
        joined_by = node.pre_auth_key
        if joined_by and joined_by.user and joined_by.user.name == user:
            with suppress(NotFoundError):
                headscale.delete_node(node.id)
