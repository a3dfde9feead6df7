"""Ansible module: checks a gateway's settings by a stack's rules, and tells what follows from them on a machine."""

from typing import TYPE_CHECKING

from ansible.module_utils.meshgate import HEADSCALE, Params, on_settings, stack_settings
from ansible.module_utils.meshgate_facts import facts

if TYPE_CHECKING:
    from infra.settings.gateway import GatewaySettings
    from infra.settings.stack import StackSettings

DOCUMENTATION = r"""
module: gateway_settings
short_description: A gateway's settings, checked, and what its programs are told on a machine
description:
  - Takes a gateway as it stands among a stack's C(gateways), and refuses what cannot work, in one sentence each.
  - Returns the environment and the arguments of the programs that make a machine this gateway. It changes nothing.
author: Meshgate
extends_documentation_fragment: [meshgate_controller, meshgate_looks]
options:
  gateway:
    description: The gateway's settings, C(meshgate_gateway) in the playbooks; its C(target) is V(metal) here.
    type: dict
    required: true
  headscale:
    description: The Headscale server, C(meshgate_headscale) in the playbooks. Without it the gateway is plain.
    type: dict
    suboptions:
      url:
        description: Where Headscale answers.
        type: str
        required: true
      ca_certificate:
        description: The CA that signed its certificate, as PEM text, when it is not a public one.
        type: str
      user:
        description: Name of the Headscale user who owns the node.
        type: str
        default: meshgate
  public_key:
    description: The public key of the machine's WireGuard key pair, once there is one.
    type: str
  private_key_file:
    description: Where the agent reads the private key.
    type: str
    default: /etc/meshgate/private-key
  token_file:
    description: Where the agent reads the tokens of its peer API.
    type: str
    default: /etc/meshgate/tokens
  issuing_certificate:
    description:
      - What the gateway issues certificates with, and then its CA's certificate, both PEM. In the playbooks it is
        C(meshgate_issuing_certificate). It is needed where C(access) has C(openvpn) or C(ipsec).
    type: str
  issuing_key:
    description: The key of that certificate, C(meshgate_issuing_key) in the playbooks.
    type: str
  issuing_certificate_file:
    description: Where the agent reads the issuing certificate.
    type: str
    default: /etc/meshgate/issuing-certificate
  issuing_key_file:
    description: Where the agent reads the issuing key.
    type: str
    default: /etc/meshgate/issuing-key
  meeting_dir:
    description: Where the agent meets the servers of other ways in.
    type: str
    default: /run/meshgate
  state_dir:
    description: Where the agent keeps its peers.
    type: str
    default: /var/lib/meshgate
  previous_private_key_file:
    description: Where the agent reads the private key before the present one, if C(previous_key) keeps that.
    type: str
    default: /etc/meshgate/previous-private-key
  interface:
    description: Name of the WireGuard interface.
    type: str
    default: meshgate0
  previous_interface:
    description: Name of the interface of the key before the present one.
    type: str
    default: meshgate1
"""

EXAMPLES = r"""
- name: Check the gateway's settings
  gateway_settings:
    gateway:
      name: edge
      endpoint: vpn.example.com:51820
      peers_url: http://10.0.0.5:8080
    headscale:
      url: https://headscale.example.com
  delegate_to: localhost
  register: settings
"""

RETURN = r"""
name: {description: The gateway's name., returned: success, type: str, sample: edge}
endpoint: {description: The address that clients dial., returned: success, type: str, sample: "vpn.example.com:51820"}
port:
  description: The UDP port that WireGuard listens on; null where that is not offered.
  returned: success
  type: int
  sample: 51820
client_networks: {description: The devices' address pools., returned: success, type: list, sample: [10.77.0.0/16]}
tags: {description: Tags of the node., returned: success, type: list, sample: []}
registration_deadline: {description: Seconds that the node has to join., returned: success, type: int, sample: 180}
interface: {description: Name of the WireGuard interface., returned: success, type: str, sample: meshgate0}
interfaces: {description: Those that clients come in by., returned: success, type: list, sample: [meshgate0, ovpn-udp]}
environment:
  description: What the agent is told; its public key only when O(public_key) is given, and never the one before that.
  returned: success
  type: dict
  sample: {MESHGATE_LISTEN_PORT: "51820"}
previous_port:
  description: The UDP port of the key before the present one; null where none is kept.
  returned: success
  type: int
  sample: 51821
previous_interface: {description: As given., returned: success, type: str, sample: meshgate1}
wireguard:
  description:
    - The units that make WireGuard's interfaces, C(wireguard) and C(wireguard-1), those that are needed. Of each its
      interface, the port of the key that the interface has, and what its process is told.
  returned: success
  type: dict
  sample: {wireguard: {interface: meshgate0, port: 51820, environment: {MESHGATE_WIREGUARD: auto}}}
servers:
  description:
    - The servers of the ways in besides WireGuard, C(openvpn) and C(ipsec), those that are offered. Of each the ports
      that it listens on, with their transports, and what the process that runs it is told.
  returned: success
  type: dict
  sample: {openvpn: {ports: [[udp, 1194]], environment: {MESHGATE_OPENVPN_LISTEN: "udp:1194"}}}
issuing_problem:
  description: Why O(issuing_certificate) and O(issuing_key) can certify no device; empty if they can, or need not.
  returned: success
  type: str
http_host: {description: The address that the peer API listens on., returned: success, type: str, sample: 10.0.0.5}
http_port: {description: The port that the peer API listens on., returned: success, type: int, sample: 8080}
probe_port:
  description: The port of C(/healthz), C(/readyz) and C(/metrics), at the same address.
  returned: success
  type: int
  sample: 8081
peers_url:
  description: Where the peer API is reached, on the machine itself when nothing else is set.
  returned: success
  type: str
  sample: http://10.0.0.5:8080
hostname: {description: The node's name in Headscale., returned: success, type: str, sample: meshgate-edge}
in_mesh: {description: Whether it is an exit node of the mesh., returned: success, type: bool}
tailscale:
  description: How the machine joins the mesh; null where the gateway is plain.
  returned: success
  type: dict
  contains:
    port: {description: The UDP port of tailscaled., type: int, sample: 41642}
    arguments: {description: "Of tailscaled, but for its state and socket.", type: list, elements: str}
    up_arguments: {description: "Of C(tailscale up), but for the pre-auth key.", type: list, elements: str}
    environment: {description: Of tailscaled., type: dict}
headscale:
  description: The server, with what was left out; null if there is none.
  returned: success
  type: dict
  contains:
    url: {description: As given., type: str, sample: https://headscale.example.com}
    ca_certificate: {description: As given., type: str}
    user: {description: As given., type: str, sample: meshgate}
"""

ARGUMENTS = {
    "gateway": {"type": "dict", "required": True},
    "headscale": HEADSCALE,
    "public_key": {"type": "str"},
    "private_key_file": {"type": "str", "default": "/etc/meshgate/private-key", "no_log": False},
    "token_file": {"type": "str", "default": "/etc/meshgate/tokens", "no_log": False},
    "issuing_certificate": {"type": "str"},
    "issuing_key": {"type": "str", "no_log": True},
    "issuing_certificate_file": {"type": "str", "default": "/etc/meshgate/issuing-certificate"},
    "issuing_key_file": {"type": "str", "default": "/etc/meshgate/issuing-key", "no_log": False},
    "meeting_dir": {"type": "str", "default": "/run/meshgate"},
    "state_dir": {"type": "str", "default": "/var/lib/meshgate"},
    "previous_private_key_file": {"type": "str", "default": "/etc/meshgate/previous-private-key", "no_log": False},
    "interface": {"type": "str", "default": "meshgate0"},
    "previous_interface": {"type": "str", "default": "meshgate1"},
}


def checked(params: Params) -> "tuple[GatewaySettings, StackSettings]":
    """The settings, and the stack that they make; raises SettingsError, which names them as the playbooks do."""
    from infra.settings.loading import SettingsError

    settings = stack_settings(
        {"gateways": [{"target": "metal", **params["gateway"]}]},
        params["headscale"],
        {"meshgate:gateways[0]": "meshgate_gateway", "meshgate:headscale": "meshgate_headscale"},
    )
    (gateway,) = settings.gateways
    if gateway.target != "metal":
        raise SettingsError("meshgate_gateway.target: a kubernetes gateway is made by `pulumi up`; a machine is metal.")
    if gateway.private_key:
        raise SettingsError(
            "meshgate_gateway.private_key: it is a secret of a stack; here it is a variable of its own, "
            "meshgate_private_key (from ansible-vault, say)."
        )
    if gateway.has_certificates and not (params["issuing_certificate"] and params["issuing_key"]):
        raise SettingsError(
            "meshgate_issuing_certificate, meshgate_issuing_key: access has openvpn or ipsec, whose devices get their "
            "certificates from these; give both (a stack hands them over, docs/metal.md says how to make them)."
        )
    return gateway, settings


def main() -> None:
    """Run as a module."""
    on_settings(ARGUMENTS, lambda params: facts(*checked(params), params))


if __name__ == "__main__":
    main()
