"""Ansible module: checks a key service's settings by a stack's rules, and tells what follows from them on a machine."""

from ansible.module_utils.meshgate import HEADSCALE, Params, Result, on_settings, renamed, stack_settings

DOCUMENTATION = r"""
module: keys_settings
short_description: A key service's settings, checked, and what it is told on a machine
description:
  - Takes a stack's C(mesh_clients), and refuses what cannot work, in one sentence each. It changes nothing.
author: Meshgate
extends_documentation_fragment: [meshgate_controller, meshgate_looks]
options:
  headscale:
    description: The Headscale server, C(meshgate_headscale) in the playbooks.
    type: dict
    required: true
    suboptions:
      url:
        description: Where Headscale answers, and devices dial it.
        type: str
        required: true
      ca_certificate:
        description: The CA that signed its certificate, as PEM text, when it is not a public one.
        type: str
      user:
        description: The devices' Headscale user has this name with C(-devices) behind it.
        type: str
        default: meshgate
  mesh_clients:
    description: The settings, C(meshgate_mesh_clients) in the playbooks. What describes a pod is refused.
    type: dict
    default: {}
  keys_url:
    description:
      - Where the orchestrator reaches the API, C(meshgate_keys_url) in the playbooks. The service listens at the
        private address of an C(http://) URL. An C(https://) one needs a proxy on the machine. Without any, programs
        on the machine alone reach it.
    type: str
  probe_port:
    description:
      - The TCP port of C(/readyz), C(/healthz) and C(/metrics), at the same address, C(meshgate_keys_probe_port) in the
        playbooks.
    type: int
    default: 8083
  credentials:
    description: Where the service reads its API key, its tokens and Headscale's CA.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Check the key service's settings
  keys_settings:
    headscale:
      url: https://headscale.example.com
    mesh_clients:
      tags: [tag:device]
    keys_url: http://10.0.0.6:8082
    credentials: /run/credentials/meshgate-keys.service
  delegate_to: localhost
  register: settings
"""

RETURN = r"""
environment:
  description: What the service is told.
  returned: success
  type: dict
  sample: {MESHGATE_KEY_MINUTES: "10"}
http_host: {description: The address that it listens on., returned: success, type: str, sample: 10.0.0.6}
http_port: {description: The port of the API., returned: success, type: int, sample: 8082}
probe_port: {description: The port of the probes., returned: success, type: int, sample: 8083}
user: {description: The devices' Headscale user., returned: success, type: str, sample: meshgate-devices}
headscale:
  description: The server.
  returned: success
  type: dict
  contains:
    url: {description: As given., type: str, sample: https://headscale.example.com}
    ca_certificate: {description: As given., type: str}
"""

ARGUMENTS = {
    "headscale": {**HEADSCALE, "required": True},
    "mesh_clients": {"type": "dict", "default": {}},
    "keys_url": {"type": "str"},
    "probe_port": {"type": "int", "default": 8083},
    "credentials": {"type": "path", "required": True},
}
NAMES = {"meshgate:mesh_clients": "meshgate_mesh_clients", "meshgate:headscale": "meshgate_headscale"}
MACHINES_NAMES = {"meshgate: ": "meshgate_", "meshgate:": "meshgate_"}
"""How the playbooks call what sentences name, of a stack and of a machine."""


def facts(params: Params) -> Result:
    """What follows from the settings; raises SettingsError, which names them as the playbooks do."""
    from infra import gateway_programs
    from infra.settings.key_machine import KeyMachineSettings
    from infra.settings.loading import SettingsError, checked

    settings = stack_settings({"access": ["mesh"], "mesh_clients": params["mesh_clients"]}, params["headscale"], NAMES)
    server, clients = settings.headscale, settings.clients
    assert server  # noqa: S101 - it is required
    if given := sorted(clients.POD_ONLY & clients.model_fields_set):
        raise SettingsError(f"meshgate_mesh_clients: {', '.join(given)} describe a pod; leave them out.")
    try:
        machine = checked(KeyMachineSettings, {"keys_url": params["keys_url"], "keys_probe_port": params["probe_port"]})
    except SettingsError as error:
        raise SettingsError(renamed(str(error), MACHINES_NAMES)) from None
    host, port = machine.listener
    user = f"{server.user}-devices"
    places = gateway_programs.KeyPlaces(
        api_key_file=f"{params['credentials']}/api-key",
        token_file=f"{params['credentials']}/tokens",
        ca_certificate_file=f"{params['credentials']}/ca.crt",
        http_host=host,
        http_port=port,
        probe_port=machine.keys_probe_port,
    )
    return {
        "environment": gateway_programs.keys_environment(server, clients, user, places),
        "http_host": host,
        "http_port": port,
        "probe_port": machine.keys_probe_port,
        "user": user,
        "headscale": {"url": server.url, "ca_certificate": server.ca_certificate},
    }


def main() -> None:
    """Run as a module."""
    on_settings(ARGUMENTS, facts)


if __name__ == "__main__":
    main()
