"""Ansible module: the keys that a Headscale server has, and whose they are."""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.meshgate import Params, Result, on_headscale

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale
    from gateway.headscale.models import Node

DOCUMENTATION = r"""
module: headscale_keys
short_description: The keys that a Headscale server has, read from the running server
description:
  - Shows that there is no WireGuard key of the server. It has a key of the control protocol (Noise). Each node
    has a key of its own, which only answers that node's mesh peers.
extends_documentation_fragment: meshgate_server
author: Meshgate
options:
  gateway_keys:
    description: The public keys of gateways' WireGuard interfaces by the gateways' names, for the report's end.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: There is nothing to show.
"""

EXAMPLES = r"""
- name: Read the keys of Headscale
  headscale_keys:
    url: https://headscale.example.com
    api_key: "{{ meshgate_headscale_api_key }}"
  delegate_to: localhost
  register: keys
"""

RETURN = r"""
report:
  description: What follows from the rest, line by line.
  returned: success
  type: list
  elements: str
noise_key:
  description: The server's key of the control protocol.
  returned: success
  type: str
  sample: "mkey:cd0ab0ec74c6eb97cbc5b6b736add246a5b3e0d56cb9d81f8a0d2e1b6cbe3a14"
described_keys:
  description: The fields of the server's own description of its API that are named a key; null when it serves none.
  returned: success
  type: list
  elements: str
  sample: [apiKey, discoKey, key, machineKey, nodeKey, preAuthKey]
mentions_wireguard:
  description: Whether that description has the word WireGuard in it.
  returned: success
  type: bool
  sample: false
nodes:
  description: The nodes.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Its name in the mesh., type: str, sample: phone}
    node_key:
      description: Its key as Headscale tells it.
      type: str
      sample: "nodekey:f345865a014ff6adde535e8cb8b248481d5fcc0bb62ccda17ac7219a89154955"
    wireguard_key:
      description: The same 32 bytes in WireGuard's form.
      type: str
      sample: 80WGWgFP9q3eU16MuLJISB1fzAu2LM2heschmokVSVU=
    online: {description: Whether Headscale sees it., type: bool, sample: true}
    exit_node: {description: Whether both exit routes are approved., type: bool, sample: false}
"""


ARGUMENTS = {"gateway_keys": {"type": "dict", "default": {}, "no_log": False}}


def look(headscale: "Headscale", params: Params, _check: bool) -> Result:
    """The keys."""
    description = headscale.api_description()
    seen: Result = {
        "noise_key": headscale.noise_key(),
        "described_keys": None if description is None else _key_fields(description),
        "mentions_wireguard": "wireguard" in str(description).lower(),
        "nodes": [_facts(node) for node in headscale.nodes()],
    }
    return {"changed": False, **seen, "report": _report(headscale.url, seen, params["gateway_keys"])}


def _report(url: str, seen: Result, gateway_keys: dict[str, str]) -> list[str]:
    word = "has the word WireGuard in it" if seen["mentions_wireguard"] else "does not have the word WireGuard in it"
    described = seen["described_keys"]
    return [
        f"Headscale at {url} has no WireGuard key of its own.",
        "",
        "Its own key is of the control protocol (Noise). By it nodes know the server, no tunnel ends there:",
        f"  {seen['noise_key']}",
        "",
        f"Its own description of its API {word}. What is called a key there:",
        f"  {'(the server serves no description)' if described is None else ', '.join(described)}",
        "",
        f"The keys of its nodes ({len(seen['nodes'])}) are WireGuard's. But tailscaled answers only the peers that",
        "Headscale tells it of: a native client that is given one of these never gets a handshake.",
        *_table({node["name"]: f"{node['wireguard_key']}  {node['node_key'][:16]}…" for node in seen["nodes"]}),
        "",
        "The right key for native clients is that of a gateway's own WireGuard interface:",
        *(
            _table(gateway_keys)
            or ["  `pulumi stack output server_public_key`, or `wg show` on the gateway, tells it."]
        ),
    ]


def _table(rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:{width}}  {value}" for name, value in rows.items()]


def _key_fields(description: dict[str, Any]) -> list[str]:
    objects = description.get("definitions", {}).values()
    fields = {name for one in objects for name in one.get("properties", {})}
    return sorted(name for name in fields if name.lower().endswith("key"))


def _facts(node: "Node") -> Result:
    from infra.curve25519 import node_key_to_wireguard

    return {
        "name": node.given_name,
        "node_key": node.node_key,
        "wireguard_key": node_key_to_wireguard(node.node_key),
        "online": node.online,
        "exit_node": node.is_exit,
    }


def main() -> None:
    """Run as a module."""
    on_headscale(ARGUMENTS, look)


if __name__ == "__main__":
    main()
