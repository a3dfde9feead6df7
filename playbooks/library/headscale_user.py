"""Ansible module: a Headscale user."""

from contextlib import suppress
from typing import TYPE_CHECKING

from ansible.module_utils.meshgate import Params, Result, change, on_headscale

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from gateway.headscale.models import User

DOCUMENTATION = r"""
module: headscale_user
short_description: A user of Headscale, who owns nodes and pre-auth keys
description:
  - Makes the user, or removes it when nothing hangs on it any more.
author: Meshgate
extends_documentation_fragment: [meshgate_server, meshgate_controller]
options:
  name:
    description: The user's name.
    type: str
    required: true
  state:
    description:
      - V(absent) leaves a user who owns nodes, whose keys nodes have joined with, or who has a usable key.
      - It also leaves one that somebody else made, as far as the server tells that (Headscale 0.24 and later).
      - On Headscale 0.28 it leaves each, as long as another user has a pre-auth key, which would go along.
    type: str
    choices: [present, absent]
    default: present
  with_nodes:
    description:
      - Whether, with O(state=absent), the user goes whatever hangs on it. Its keys let nobody in any more, the nodes
        that joined by them leave the mesh, and then it is removed.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Tells what would change, and changes nothing.
  diff_mode:
    support: full
    description: Shows the user before and after.
"""

EXAMPLES = r"""
- name: Have a user who owns the gateways
  headscale_user:
    url: https://headscale.example.com
    api_key: "{{ meshgate_headscale_api_key }}"
    name: meshgate
  delegate_to: localhost
"""

RETURN = r"""
user:
  description: The user; null when there is none.
  returned: success
  type: dict
  contains:
    id: {description: Headscale's number., type: str, sample: "1"}
    name: {description: As given., type: str, sample: meshgate}
kept_because:
  description: Why the user is still there.
  returned: when O(state=absent) and the user stays
  type: str
  sample: it owns nodes
"""

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "with_nodes": {"type": "bool", "default": False},
}


def converge(headscale: "Headscale", params: Params, check: bool) -> Result:
    """Make the user what `state` says."""
    from gateway.headscale import devices
    from gateway.headscale.errors import NotFoundError

    name = params["name"]
    try:
        user = headscale.user(name)
    except NotFoundError:
        user = None
    before = {"name": name} if user else None
    if params["state"] == "present":
        if user is None and not check:
            user = headscale.ensure_user(name)
        return {**change(before, {"name": name}), "user": _facts(user)}
    if user and user.made_by_us is False:
        return {**change(before, before), "user": _facts(user), "kept_because": "somebody else made it"}
    if user and params["with_nodes"]:
        if not check:
            devices.take_out(headscale, name)
    elif user and (why := _needed(headscale, user)):
        return {**change(before, before), "user": _facts(user), "kept_because": why}
    if user and not check and (why := _hindered(headscale, user)):
        return {**change(before, before), "user": _facts(user), "kept_because": why}
    return {**change(before, None), "user": None}


def _hindered(headscale: "Headscale", user: "User") -> str | None:
    """Why the user could not be removed."""
    from gateway.headscale.errors import NotFoundError, OthersKeysError

    try:
        with suppress(NotFoundError):  # removed by another play meanwhile
            headscale.delete_user(user)
    except OthersKeysError:
        return "Headscale 0.28 would delete the pre-auth keys of all users with it"
    return None


def _needed(headscale: "Headscale", user: "User") -> str | None:
    """Why the user must stay."""
    nodes = headscale.nodes()
    if any(node.user and node.user.name == user.name for node in nodes):
        return "it owns nodes"
    keys = headscale.pre_auth_keys(user)
    if {key.id for key in keys} & {node.pre_auth_key_id for node in nodes}:
        return "nodes have joined with its pre-auth keys"
    return "one of its pre-auth keys can still be used" if any(key.usable for key in keys) else None


def _facts(user: "User | None") -> Result | None:
    return {"id": user.id, "name": user.name} if user else None


def main() -> None:
    """Run as a module."""
    on_headscale(ARGUMENTS, converge)


if __name__ == "__main__":
    main()
