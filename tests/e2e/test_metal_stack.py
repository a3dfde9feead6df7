"""One stack: a gateway in the cluster, one on a machine, one orchestrator; the playbook reads the stack."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.models import Node
from lab import paths
from lab.images import artifact
from lab.machines import metal
from lab.machines.metal import Machine
from lab.mesh import june, june_app
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.network.wireguard_client import Client, Config
from lab.pulumi.stack import Stack
from lab.tools import go_builds, pinned_tools
from tests.e2e import lab_world, life, metal_world
from tests.e2e.metal_world import Play
from tests.pings import pinging

pytestmark = pytest.mark.timeout(600)

NAME = "metal"


@pytest.fixture
def machine(stack: Stack) -> Iterator[Machine]:
    artifact.ensure()
    with metal.machine(NAME) as machine:
        yield machine


@pytest.fixture
def both(stack: Stack, machine: Machine) -> Iterator[Stack]:
    """The lab's stack with a gateway more; afterwards it is as before."""
    before = stack.settings()
    gateway = {
        "name": NAME,
        "target": "metal",
        "host": machine.ipv4,
        "endpoint": f"{machine.ipv4}:51820",
        "peers_url": f"http://{machine.ipv4}:8080",
        "client_networks": list(metal_world.CLIENT_NETWORKS),
    }
    stack.write(before | {"gateways": [*before["gateways"], gateway]})
    yield stack
    stack.write(before)
    life.up(stack)
    life.assert_whole(stack)
    with lab_world.headscale() as headscale:
        assert f"meshgate-{NAME}" not in [node.given_name for node in headscale.nodes()]


def play(stack: Stack, machine: Machine, directory: Path, playbook: str) -> Play:
    """Run a playbook as a user of the stack does: its inventory is the stack, and how SSH reaches the machine."""
    source = directory / "meshgate_stack.yml"
    source.write_text(json.dumps({"plugin": "meshgate_stack", "stack": stack.name, "project_dir": str(paths.PULUMI)}))
    variables = machine.inventory() | {"meshgate_tailscaled": str(go_builds.resolve(pinned_tools.TAILSCALED))}
    connection = directory / "connection.json"
    connection.write_text(json.dumps({"meshgate": {"hosts": {NAME: variables}}}))
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [program, "-i", str(source), "-i", str(connection), f"playbooks/{playbook}.yml"],
        cwd=paths.REPOSITORY,
        env=metal_world.environment() | stack.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Play(done.returncode, done.stdout + done.stderr)


def test_a_pod_and_a_machine_are_gateways_of_one_stack(
    both: Stack, machine: Machine, headscale: Headscale, mesh_peer: Node, tmp_path: Path
) -> None:
    life.up(both)
    assert f"meshgate-{NAME} has not joined yet" in both.log.read_text()
    assert both.outputs()["gateways"][NAME]["exit_node"]["id"] == ""
    assert lab_world.orchestrator_env()["GATEWAYS"] == "lab"

    assert play(both, machine, tmp_path, "gateway").changed
    life.up(both)
    node = lab_world.node_named(headscale, f"meshgate-{NAME}")
    assert node.is_exit
    assert both.outputs()["gateways"][NAME]["exit_node"]["id"] == node.id
    assert lab_world.orchestrator_env()["GATEWAYS"] == f"lab,{NAME}"
    life.assert_settled(both)
    assert play(both, machine, tmp_path, "gateway").changed == []

    through_pod, through_machine = (device(name) for name in ("lab", NAME))
    assert through_pod["serverPublicKey"] == both.outputs()["server_public_key"]
    assert through_machine["serverPublicKey"] == both.outputs()["gateways"][NAME]["server_public_key"]
    with clients.connected("by-machine", Config.from_registration(through_machine)) as client:
        for url, address in zip(lab_world.urls(mesh_peer), node.addresses, strict=True):
            assert client.identify(url, 20)["caller"] == address
        for url, address in zip(lab_world.INTERNET, machine.outside, strict=True):
            assert client.identify(url, 20)["caller"] == address
        rotate(both, machine, tmp_path, client)
    with clients.connected("by-pod", Config.from_registration(through_pod)) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 20)
    for answer in (through_pod, through_machine):
        june_app.unregister(june.URL, answer["publicKey"])

    play(both, machine, tmp_path, "remove")
    assert "meshgate" not in machine.ssh("ls", "/etc")


def rotate(both: Stack, machine: Machine, directory: Path, client: Client) -> None:
    """Rotate the machine's key by `pulumi up` and the playbook: the client goes on, and newcomers have the new key."""
    before = both.outputs()["gateways"][NAME]["server_public_key"]
    settings = both.settings()
    pod, edge = settings["gateways"]
    rotated = edge | {
        "endpoint": f"{machine.ipv4}:51821",
        "key_rotation": "2027",
        "previous_key": {"port": 51820, "until": "2100-01-01"},
    }
    both.write(settings | {"gateways": [pod, rotated]})
    life.up(both)
    assert lab_world.passes(client, lab_world.INTERNET[0], 5), "the playbook has not run yet"
    with pinging(client.inside, topology.INTERNET_IPV4, interval_s=0.05) as pings:
        play(both, machine, directory, "gateway")
    assert pings.lost == []
    outputs = both.outputs()["gateways"][NAME]
    assert outputs["previous_key"]["public_key"] == before != outputs["server_public_key"]
    newcomer = device(NAME)
    assert newcomer["serverPublicKey"] == outputs["server_public_key"]
    assert newcomer["serverEndpoint"] == f"{machine.ipv4}:51821"
    with clients.connected("newcomer", Config.from_registration(newcomer)) as new:
        for one in (new, client):
            assert lab_world.passes(one, lab_world.INTERNET[0], 10)
    june_app.unregister(june.URL, newcomer["publicKey"])
    assert play(both, machine, directory, "gateway").changed == []
    assert f"gateway {NAME}: the WireGuard key before the present one works until 2100-01-01" in both.run("preview")
    both.write(settings | {"gateways": [pod, rotated | {"previous_key": {"port": 51820, "until": "2020-01-01"}}]})
    life.up(both)
    play(both, machine, directory, "gateway")
    assert not lab_world.passes(client, lab_world.INTERNET[0], 3), "the old key has ended"
    life.assert_settled(both)


def device(gateway: str) -> dict[str, Any]:
    """A device that the orchestrator lets in at a gateway."""
    return june_app.register(june.URL, "app", gateway=gateway)
