"""The key service on a machine by playbook: installed, used, run again, told of a wrong API key, and removed."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.headscale import devices
from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from gateway.headscale.models import Node
from lab import paths
from lab.cluster.startup import PKI
from lab.images import artifact
from lab.machines import metal
from lab.machines.metal import Machine
from lab.mesh import peer
from lab.network import tailscale_client
from tests.deadlines import wait_for
from tests.e2e import lab_world, metal_world
from tests.e2e.metal_world import Play

pytestmark = pytest.mark.timeout(500)

USER = "meshgate-keys-test"
DEVICES = f"{USER}-devices"
STATUS = "/proc/$(systemctl show --property=MainPID --value meshgate-keys.service)/status"
ADA = {"owner": "ada"}


@dataclass(frozen=True)
class KeysHost:
    """The machine with its inventory."""

    machine: Machine
    directory: Path

    def play(self, playbook: str, *options: str, **variables: object) -> Play:
        """Run a playbook."""
        inventory = self.directory / "inventory.json"
        inventory.touch(mode=0o600)
        told: dict[str, Any] = {
            **self.machine.inventory(),
            "meshgate_keys_url": f"http://{self.machine.ipv4}:8082",
            "meshgate_headscale": {"url": peer.URL, "ca_certificate": PKI.ca.read_text(), "user": USER},
            "meshgate_headscale_api_key": lab_world.api_key(),
            **variables,
        }
        inventory.write_text(json.dumps({"meshgate_keys": {"hosts": {self.machine.name: told}}}))
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", str(inventory), f"playbooks/{playbook}.yml", *options],
            cwd=paths.REPOSITORY,
            env=metal_world.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        return Play(done.returncode, done.stdout + done.stderr)

    def call(self, method: str, path: str, token: str | None = None, **content: Any) -> httpx.Response:  # noqa: ANN401
        """Call the API as an orchestrator does."""
        token = token or self.machine.ssh("grep", "^register", "/etc/meshgate-keys/tokens").split()[1]
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"http://{self.machine.ipv4}:8082", headers=headers, trust_env=False) as http:
            return http.request(method, path, **content)


@pytest.fixture
def host(stack: object, headscale: Headscale, tmp_path: Path) -> Iterator[KeysHost]:
    artifact.ensure()
    with metal.machine("keys") as machine:
        yield KeysHost(machine, tmp_path)
    devices.take_out(headscale, DEVICES)
    with suppress(NotFoundError):
        headscale.delete_user(headscale.user(DEVICES))


def test_a_machine_hands_out_keys_until_the_service_is_removed(
    host: KeysHost, headscale: Headscale, mesh_peer: Node
) -> None:
    before = metal_world.snapshot(host.machine)
    told = host.play("keys", "--check", "--diff")
    assert told.status == 0, told.output
    assert "keys : Run it" in told.changed
    assert metal_world.differences(before, metal_world.snapshot(host.machine)) == {}

    wrong = host.play("keys", meshgate_headscale_api_key="hskey-api-000000000000-" + "0" * 64)
    assert wrong.status != 0
    (complaint,) = wrong.complaint
    assert complaint.startswith("The key service is not ready: ")
    assert "does not accept the API key" in complaint

    installed = host.play("keys", "--diff")
    assert installed.status == 0, installed.output
    assert installed.changed == ["keys : Give it Headscale's API key and CA", "keys : Run it"]
    checked = host.play("keys", "--check", "--diff")
    again = host.play("keys")
    assert (checked.changed, again.changed, again.status) == ([], [], 0), again.output
    secrets = [lab_world.api_key(), *host.machine.ssh("cat", "/etc/meshgate-keys/tokens").split()[1::2]]
    for play in (told, wrong, installed, checked, again):
        assert not [secret for secret in secrets if secret in play.output]
    assert "CapEff:\t0000000000000000" in host.machine.ssh("sh", "-c", f"cat {STATUS}")
    assert host.machine.ssh("stat", "--format=%U %a", "/etc/meshgate-keys/api-key").split() == ["root", "600"]
    unit = "meshgate-keys"
    assert metal_world.exposures(host.machine) == {unit: metal_world.documented_exposures()[unit]}

    assert host.call("POST", "/v1/devices", "a-token-of-nobody-else", json=ADA).status_code == 401
    made = host.call("POST", "/v1/devices", json=ADA).json()
    (key,) = headscale.pre_auth_keys(headscale.user(DEVICES))
    assert (key.id, key.usable, key.reusable, key.ephemeral) == (made["id"], True, False, False)
    assert key.expiration is not None
    assert key.expiration < datetime.now(UTC) + timedelta(minutes=11)
    with tailscale_client.connected("keys-device", made, PKI.ca) as device:
        wait_for(lambda: lab_world.passes(device, lab_world.urls(mesh_peer)[0], 2), "the mesh", 20)
        assert [node.pre_auth_key_id for node in headscale.nodes()].count(made["id"]) == 1

        told = host.play("remove-keys", "--check", "--diff")
        assert told.status == 0, told.output
        assert headscale.user(DEVICES)
        removed = host.play("remove-keys")
        assert removed.status == 0, removed.output
        assert told.changed == removed.changed
        wait_for(lambda: not lab_world.passes(device, lab_world.urls(mesh_peer)[0], 1), "the device's end", 5)
    with pytest.raises(NotFoundError):
        headscale.user(DEVICES)
    assert made["id"] not in [node.pre_auth_key_id for node in headscale.nodes()]
    assert metal_world.differences(before, metal_world.snapshot(host.machine)) == {}
    again = host.play("remove-keys")
    assert (again.status, again.changed) == (0, []), again.output
