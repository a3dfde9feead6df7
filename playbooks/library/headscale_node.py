"""Ansible module: a gateway's node in Headscale."""

from typing import TYPE_CHECKING

from ansible.module_utils.meshgate import Params, Result, change, on_headscale

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from gateway.headscale.exit_nodes import ExpectedNode
    from gateway.headscale.models import Node

DOCUMENTATION = r"""
module: headscale_node
short_description: A gateway's node in Headscale, approved as an exit node
description:
  - Waits until the node has joined and offers the exit routes, approves both, and gives it its tags. Other approved
    routes stay as they are.
  - The node is known by the pre-auth key that it joined with, else by its host name and user.
author: Meshgate
extends_documentation_fragment: [meshgate_server, meshgate_controller]
options:
  hostname:
    description: The host name that the machine tells Headscale.
    type: str
    required: true
  user:
    description: Name of the Headscale user with whose key it joined.
    type: str
    required: true
  pre_auth_key_id:
    description: Number of the pre-auth key that it was given last, when that is known.
    type: str
  tags:
    description:
      - The tags that the node is to have, these and no other. Left as they are when not given.
      - From Headscale 0.28 on they must be in the policy, unless the node has them from its pre-auth key.
    type: list
    elements: str
  node_key:
    description:
      - The key that the machine has in the mesh now, to ask whether Headscale still knows it as a node of O(user).
      - With O(state=absent), the node to remove, whosever it is.
    type: str
  deadline_seconds:
    description: How long it may take to join.
    type: int
    default: 180
  state:
    description: V(absent) removes every node of that host name and user, or the one with O(node_key).
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    support: full
    description: Looks once, and tells what would change. A node that has not joined yet is no failure then.
  diff_mode:
    support: full
    description: Shows the approved routes and the tags before and after.
"""

EXAMPLES = r"""
- name: Approve the gateway edge as an exit node
  headscale_node:
    url: https://headscale.example.com
    api_key: "{{ meshgate_headscale_api_key }}"
    hostname: meshgate-edge
    user: meshgate
  delegate_to: localhost
"""

RETURN = r"""
node:
  description: The node; null when there is none, which O(state=present) allows in check mode only.
  returned: success
  type: dict
  contains:
    id: {description: Headscale's number., type: str, sample: "3"}
    name: {description: Its name in the mesh., type: str, sample: meshgate-edge}
    addresses: {description: In the mesh., type: list, elements: str, sample: [100.64.0.3, "fd7a:115c:a1e0::3"]}
    node_key:
      description: Its key among mesh peers; never a key for native clients.
      type: str
      sample: "nodekey:f345865a014ff6adde535e8cb8b248481d5fcc0bb62ccda17ac7219a89154955"
    routes: {description: Those approved., type: list, elements: str, sample: [0.0.0.0/0, "::/0"]}
    tags: {description: Its tags., type: list, elements: str, sample: []}
    online: {description: Whether Headscale sees it., type: bool, sample: true}
    exit_node: {description: Whether both exit routes are approved., type: bool, sample: true}
known: {description: Whether the user has a node with the key that was given., type: bool}
"""

ARGUMENTS = {
    "hostname": {"type": "str", "required": True},
    "user": {"type": "str", "required": True},
    "pre_auth_key_id": {"type": "str", "no_log": False},
    "tags": {"type": "list", "elements": "str"},
    "node_key": {"type": "str", "no_log": False},
    "deadline_seconds": {"type": "int", "default": 180},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def converge(headscale: "Headscale", params: Params, check: bool) -> Result:
    """Make the node what `state` says."""
    from gateway.headscale.exit_nodes import ExpectedNode

    expected = ExpectedNode(params["hostname"], params["user"], params["pre_auth_key_id"])
    if params["state"] == "absent":
        return _absent(headscale, expected, params["node_key"], check)
    return _present(headscale, expected, params, check)


def _present(headscale: "Headscale", expected: "ExpectedNode", params: Params, check: bool) -> Result:
    from gateway.headscale import EXIT_ROUTES, exit_nodes
    from gateway.headscale.errors import HeadscaleError

    deadline, tags, key = params["deadline_seconds"], params["tags"], params["node_key"]
    node = exit_nodes.find(headscale, expected) if check else exit_nodes.wait(headscale, expected, deadline)
    if node is None and not check:
        why = exit_nodes.why_none(headscale, expected, new_key="run the play again, which makes a new one")
        raise HeadscaleError(
            f"Gateway {expected.hostname} is no exit node of {headscale.url} after {deadline} s: {why}."
        )
    before = {"routes": sorted(node.approved_routes), "tags": sorted(node.tags)} if node else None
    now = before or {"routes": [], "tags": []}
    after = {
        "routes": sorted({*now["routes"], *EXIT_ROUTES}),
        "tags": now["tags"] if tags is None else sorted(tags),
    }
    if node and not check:
        node = exit_nodes.approve(headscale, node, tags)
    known = {} if key is None else {"known": _knows(headscale, key, expected.user)}
    return {**change(before, after), "node": _facts(node), **known}


def _knows(headscale: "Headscale", key: str, user: str) -> bool:
    from gateway.headscale import exit_nodes

    return any(one.node_key == key and not exit_nodes.is_of_another(one, user) for one in headscale.nodes())


def _absent(headscale: "Headscale", expected: "ExpectedNode", key: str | None, check: bool) -> Result:
    from gateway.headscale import exit_nodes

    if key is None:
        nodes = exit_nodes.candidates(headscale, expected)
    else:
        nodes = [one for one in headscale.nodes() if one.node_key == key]
    for node in nodes:
        if not check:
            exit_nodes.delete(headscale, node.id)
    before = {"nodes": [node.given_name for node in nodes]} if nodes else None
    return {**change(before, None), "node": None}


def _facts(node: "Node | None") -> Result | None:
    if node is None:
        return None
    return {
        "id": node.id,
        "name": node.given_name,
        "addresses": list(node.addresses),
        "node_key": node.node_key,
        "routes": sorted(node.approved_routes),
        "tags": sorted(node.tags),
        "online": node.online,
        "exit_node": node.is_exit,
    }


def main() -> None:
    """Run as a module."""
    on_headscale(ARGUMENTS, converge)


if __name__ == "__main__":
    main()
