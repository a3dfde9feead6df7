"""Ansible module: a pre-auth key of Headscale."""

from datetime import timedelta
from typing import TYPE_CHECKING

from ansible.module_utils.meshgate import Params, Result, change, on_headscale

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from gateway.headscale.models import PreAuthKey, User

DOCUMENTATION = r"""
module: headscale_preauth_key
short_description: A pre-auth key of Headscale, by which one machine joins the mesh
description:
  - Makes a single-use key, and removes the unused one that was made for the same owner before. So a play that is killed
    in between leaves no key that nobody knows.
  - A key is told once. To keep the one that there is, give its O(id).
author: Meshgate
extends_documentation_fragment: [meshgate_server, meshgate_controller]
options:
  user:
    description: Name of the Headscale user whose key it is; it must exist.
    type: str
    required: true
  owner:
    description: Who is to join with it, the gateway's name, say. One owner has one usable key.
    type: str
    required: true
  id:
    description: Number of a key made before. While that one can be used, no other is made.
    type: str
  tags:
    description: Tags of the node that joins with it, such as V(tag:gateway).
    type: list
    elements: str
    default: []
  expiration_hours:
    description: How long the machine has to use a new key.
    type: float
    default: 1
  state:
    description: V(absent) removes the owner's keys, but for a spent one by which Headscale still knows a node's user.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Tells whether a key would be made or removed, and does neither.
  diff_mode:
    support: full
    description: Shows the numbers of the owner's keys before and after.
notes:
  - Give the task C(no_log=true), since the result holds the key. Servers before 0.28 let a key expire but not go.
"""

EXAMPLES = r"""
- name: Make a pre-auth key for the gateway edge
  headscale_preauth_key:
    url: https://headscale.example.com
    api_key: "{{ meshgate_headscale_api_key }}"
    user: meshgate
    owner: edge
  delegate_to: localhost
  no_log: true
  register: made
"""

RETURN = r"""
id:
  description: The key's number, which is no secret.
  returned: when there is a usable key
  type: str
  sample: "7"
key:
  description: The key itself, a secret.
  returned: when it was made just now
  type: str
expires_at:
  description: Its end, ISO 8601.
  returned: when there is a usable key
  type: str
"""

ARGUMENTS = {
    "user": {"type": "str", "required": True},
    "owner": {"type": "str", "required": True},
    "id": {"type": "str"},
    "tags": {"type": "list", "elements": "str", "default": []},
    "expiration_hours": {"type": "float", "default": 1},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def converge(headscale: "Headscale", params: Params, check: bool) -> Result:
    """Make the owner's keys what `state` says."""
    from gateway.headscale.errors import NotFoundError

    if params["state"] == "present":
        return _present(headscale, params, check)
    try:
        user = headscale.user(params["user"])
    except NotFoundError:
        return change(None, None)
    return _absent(headscale, user, params, check)


def _present(headscale: "Headscale", params: Params, check: bool) -> Result:
    from gateway.headscale import pre_auth_keys

    key = pre_auth_keys.find(headscale, params["user"], params["id"]) if params["id"] else None
    if key and key.usable:
        return {**change({"id": key.id}, {"id": key.id}), **_facts(key)}
    if check:
        return change(None, {"id": "a new one"})
    made = pre_auth_keys.make(
        headscale,
        headscale.user(params["user"]),
        params["owner"],
        lifetime=timedelta(hours=params["expiration_hours"]),
        tags=params["tags"],
    )
    return {**change(None, {"id": made.id}), **_facts(made), "key": made.key.get_secret_value()}


def _absent(headscale: "Headscale", user: "User", params: Params, check: bool) -> Result:
    from gateway.headscale import pre_auth_keys

    keys = pre_auth_keys.removable(headscale, user, params["owner"], params["id"])
    for key in keys:
        if not check:
            headscale.delete_pre_auth_key(user, key)
    return change({"ids": [key.id for key in keys]} if keys else None, None)


def _facts(key: "PreAuthKey") -> Result:
    return {"id": key.id, "expires_at": key.expires_at}


def main() -> None:
    """Run as a module."""
    on_headscale(ARGUMENTS, converge)


if __name__ == "__main__":
    main()
