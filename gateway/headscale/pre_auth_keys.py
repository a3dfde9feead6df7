"""Pre-auth keys of one owner, such as a gateway: made, judged and removed.

A run that dies between making a key and storing its id leaves one that nobody holds. The next run of the same owner
finds it by the mark in its expiration (markers.py), and removes it.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING

from gateway.headscale import exit_nodes, markers
from gateway.headscale.errors import NotFoundError

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from gateway.headscale.models import Node, PreAuthKey, User

GRACE_SECONDS = 30.0
"""How long a node may be away before it counts as lost: a restart of Headscale or of the gateway is shorter."""


def make(
    headscale: "Headscale",
    user: "User",
    owner: str,
    *,
    lifetime: timedelta,
    reusable: bool = False,
    ephemeral: bool = False,
    tags: Collection[str] = (),
) -> "PreAuthKey":
    """A new key, whole; an unused one that the owner had before is removed."""
    for old in headscale.pre_auth_keys(user):
        if old.usable and markers.is_marked(old.expiration, owner):
            headscale.delete_pre_auth_key(user, old)
    end = markers.expiration(owner, after=lifetime)
    return headscale.create_pre_auth_key(user, expiration=end, reusable=reusable, ephemeral=ephemeral, tags=tags)


def find(headscale: "Headscale", user_name: str, key_id: str) -> "PreAuthKey | None":
    """The user's key of that id; None when either is gone."""
    try:
        user = headscale.user(user_name)
    except NotFoundError:
        return None
    return next((key for key in headscale.pre_auth_keys(user) if key.id == key_id), None)


def serves(
    headscale: "Headscale", key: "PreAuthKey | None", owner: str, expected: exit_nodes.ExpectedNode, *, connected: bool
) -> bool:
    """Whether the owner needs no other key: it can join by this one, or its node is there and has not expired.

    With `connected` that node must be connected as well, or be so within GRACE_SECONDS: a node without its volume, or
    one that was deleted on the machine, is a record only. A key that somebody removed once it was used is no loss.
    """
    if key and key.usable:
        return True
    away = []
    for node in headscale.nodes_from(expected.user):
        if not node.expired and _joined(node, owner, expected):
            if node.connected or not connected:
                return True
            away.append(node.id)
    return exit_nodes.reconnects(headscale, away, GRACE_SECONDS)


def _joined(node: "Node", owner: str, expected: exit_nodes.ExpectedNode) -> bool:
    """Whether the node joined as this owner; a tagged one whose key was removed says so by its name alone."""
    key = node.pre_auth_key
    if key and key.id == expected.pre_auth_key_id:
        return True
    if not exit_nodes.owned(node, expected.user):
        return key is None and bool(node.tags) and node.name == expected.hostname
    return node.name == expected.hostname or bool(key and markers.is_marked(key.expiration, owner))


def removable(headscale: "Headscale", user: "User", owner: str, key_id: str | None = None) -> "list[PreAuthKey]":
    """The owner's keys that can go, by their mark or this id. A spent one stays while it says whose a node is."""
    keys = [
        key for key in headscale.pre_auth_keys(user) if key.id == key_id or markers.is_marked(key.expiration, owner)
    ]
    if not headscale.deletes_pre_auth_keys:
        return [key for key in keys if key.usable]
    needed = {node.pre_auth_key_id for node in headscale.nodes()}
    return [key for key in keys if key.usable or key.id not in needed]
