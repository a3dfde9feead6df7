"""Ansible module: the keys that a Headscale server has, and whose they are."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from ansible.module_utils.meshgate import Params, Result, on_headscale

if TYPE_CHECKING:
    from gateway.headscale.client import Headscale

DOCUMENTATION = r"""
module: headscale_keys
short_description: The keys that a Headscale server has, read from the running server
description:
  - Shows that there is no WireGuard key of the server. It has a key of the control protocol (Noise). Each node
    has a key of its own, which only answers that node's mesh peers.
author: Meshgate
extends_documentation_fragment: [meshgate_server, meshgate_controller, meshgate_looks]
options:
  gateway_keys:
    description: The public keys of gateways' WireGuard interfaces by the gateways' names, for the report's end.
    type: dict
    default: {}
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
    from verify import server_keys

    seen = server_keys.look(headscale)
    report = server_keys.report(seen, params["gateway_keys"])
    return {"changed": False, **asdict(seen), "report": report}


def main() -> None:
    """Run as a module."""
    on_headscale(ARGUMENTS, look)


if __name__ == "__main__":
    main()
