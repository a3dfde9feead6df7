"""Inventory plugin: the gateways on bare metal of a Meshgate stack, with all that its `pulumi up` made for them.

It writes nothing: secrets go from the stack into host variables.
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, ExitCode
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin

from infra.kubernetes.client import ClusterError
from infra.resources.connections import Connections, ConnectionsError, KeyLostError, NoServerError
from playbooks.pulumi_stack import Stack, StackError

DOCUMENTATION = r"""
name: meshgate_stack
short_description: The gateways on bare metal of a Meshgate stack
description:
  - Reads the stack's output C(metal) and its config by the command C(pulumi).
  - Makes one host of each gateway with C(target) V(metal), in group C(meshgate), with the variables of
    C(playbooks/gateway.yml).
  - The API key of Headscale is the stack's own; that of a managed server is read from its Secret in the cluster. If the
    cluster cannot be reached the variable is not set, and the next C(pulumi up) approves the node.
  - The name of the source file ends with C(meshgate_stack.yml) or C(meshgate_stack.yaml).
requirements:
  - pulumi on PATH, logged in (or E(PULUMI_BACKEND_URL)), with the passphrase (E(PULUMI_CONFIG_PASSPHRASE) or
    E(PULUMI_CONFIG_PASSPHRASE_FILE)) of a stack that has one
author:
  - Meshgate
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [meshgate_stack]
  stack:
    description: The stack.
    type: str
    required: true
  project_dir:
    description:
      - Where the stack's C(Pulumi.yaml) is and its config file; relative to the source file.
      - The repository of this plugin if not set.
    type: str
"""

EXAMPLES = r"""
# ansible-playbook -i prod.meshgate_stack.yml playbooks/gateway.yml
plugin: meshgate_stack
stack: prod
"""

GROUP = "meshgate"
OF_SOME_WAYS = (
    *("private_key", "public_key", "previous_private_key", "previous_public_key"),
    *("issuing_certificate", "issuing_key"),
)
"""What is handed over where a gateway offers WireGuard, has rotated its key, and where it offers OpenVPN or IPsec."""
REPOSITORY = Path(__file__).resolve().parents[2]


def variables(handover: dict[str, Any], api_key: str | None) -> dict[str, Any]:
    """The host variables of one gateway."""
    return {
        "ansible_host": handover["host"],
        "meshgate_gateway": handover["gateway"],
        "meshgate_tokens": handover["tokens"],
        **(_of_the_mesh(handover, api_key) if "headscale" in handover else {}),
        **{f"meshgate_{name}": handover[name] for name in OF_SOME_WAYS if name in handover},
    }


def _of_the_mesh(handover: dict[str, Any], api_key: str | None) -> dict[str, Any]:
    return {
        "meshgate_headscale": handover["headscale"],
        **({"meshgate_headscale_api_key": api_key} if api_key else {}),
        "meshgate_pre_auth_key": handover["pre_auth_key"],
        "meshgate_pre_auth_key_id": handover["pre_auth_key_id"],
    }


class InventoryModule(BaseInventoryPlugin):  # type: ignore[misc]  # Ansible has no types
    """Ansible's side."""

    NAME = "meshgate_stack"

    def verify_file(self, path: str) -> bool:
        """Whether the source is one of ours, by its name."""
        return bool(super().verify_file(path)) and path.endswith(("meshgate_stack.yml", "meshgate_stack.yaml"))

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Add the stack's gateways; nothing of it is ever cached."""
        super().parse(inventory, loader, path, cache)
        try:
            self._read_source(path)
            directory = Path(path).resolve().parent / (self.get_option("project_dir") or REPOSITORY)
            stack = Stack(self.get_option("stack"), directory)
            gateways = stack.gateways()
            api_key = self._api_key(stack.connections())
        except (AnsibleError, StackError, ConnectionsError) as error:
            # Raised, it would have Ansible try its other plugins on this file, and bury the sentence under theirs.
            self.display.error(f"{str(error).rstrip('.')}.")
            raise SystemExit(ExitCode.PARSER_ERROR) from None
        inventory.add_group(GROUP)
        for name, handover in gateways.items():
            inventory.add_host(name, group=GROUP)
            for variable, value in variables(handover, api_key).items():
                inventory.set_variable(name, variable, value)

    def _read_source(self, path: str) -> None:
        try:
            self._read_config_data(path)
        except AttributeError as error:  # Ansible takes whatever YAML there is for a mapping
            raise StackError(
                f"{path} does not say which plugin and stack it means; write `plugin: meshgate_stack` and `stack: NAME`"
            ) from error

    def _api_key(self, connections: Connections) -> str | None:
        try:
            with connections:
                return connections.api_key()
        except NoServerError:
            return None
        except (KeyLostError, ClusterError) as error:
            self.display.warning(f"Without Headscale's API key the play leaves the node to `pulumi up`. {error}")
            return None
