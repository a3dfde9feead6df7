"""The whole life of a stack on the real engine: again, drift, repair, kill, destroy, and up again.

Last of the e2e tests, and in this order: each leaves the stack as `make up` made it.
"""

import ssl
from collections.abc import Callable

import httpx
import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.models import Node
from lab import paths
from lab.cluster import kube
from lab.cluster.startup import PKI
from lab.mesh import june, peer
from lab.network.wireguard_client import Client
from lab.pulumi.stack import Stack
from lab.tools import go_builds, pinned_tools
from tests.e2e import lab_world, life

pytestmark = pytest.mark.timeout(600)

Connect = Callable[[str], Client]


def test_a_second_up_changes_nothing(stack: Stack) -> None:
    stack.run("preview", "--expect-no-changes")
    stack.run("up", "--yes", "--skip-preview", "--expect-no-changes")
    life.assert_whole(stack)


def test_the_state_holds_no_secret_in_the_clear(stack: Stack) -> None:
    private_key = lab_world.in_gateway("agent", "cat", "/etc/meshgate/private-key").strip()
    files = [path for path in paths.PULUMI_STATE.rglob("*") if path.is_file()]
    assert files
    for secret in (*lab_world.tokens(), private_key, lab_world.api_key()):
        assert not [path for path in files if secret in path.read_text(errors="replace")]


def test_a_route_un_approved_by_hand_is_seen_and_approved_again(stack: Stack, headscale: Headscale) -> None:
    gateway = lab_world.node_named(headscale, lab_world.GATEWAY)
    _un_approve(gateway)
    assert "exit-node update" in stack.run("refresh", "--yes", "--skip-preview")
    life.up(stack)
    assert lab_world.node_named(headscale, lab_world.GATEWAY).id == gateway.id
    life.assert_whole(stack)


def test_a_node_deleted_by_hand_joins_again(stack: Stack, headscale: Headscale, connect: Connect) -> None:
    client = connect("left-behind")
    headscale.delete_node(lab_world.node_named(headscale, lab_world.GATEWAY).id)
    assert "exit-node delete" in stack.run("refresh", "--yes", "--skip-preview")
    life.up(stack)
    life.assert_whole(stack)
    for url in (*lab_world.INTERNET, *lab_world.urls(lab_world.node_named(headscale, peer.HOSTNAME))):
        assert lab_world.passes(client, url, 10)


def test_a_variable_edited_by_hand_is_seen_and_set_again(stack: Stack) -> None:
    edit = "HEADSCALE_SERVER_ENDPOINT=192.0.2.1:1"
    kube.kubectl("set", "env", "-n", "june-services", "deploy/june-orchestrator", edit)
    stack.run("refresh", "--yes", "--skip-preview")
    life.up(stack)
    assert lab_world.orchestrator_env()["HEADSCALE_SERVER_ENDPOINT"] == stack.outputs()["server_endpoint"]
    life.assert_whole(stack)


def test_destroy_takes_everything_back_and_leaves_june_running(stack: Stack) -> None:
    before = lab_world.orchestrator_env()
    life.destroy(stack)
    after = lab_world.orchestrator_env()
    assert after == {name: value for name, value in before.items() if name not in june.VARIABLES}
    assert "namespace/headscale" not in kube.kubectl("get", "namespaces", "-o", "name").split()
    assert "meshgate" not in kube.kubectl("get", "secrets", "-n", "june-services", "-o", "name")
    kube.kubectl("rollout", "status", "-n", "june-services", "deploy/june-orchestrator", "--timeout=60s")
    assert not stack.outputs()


@pytest.mark.parametrize("moment", ["HeadscaleApiKey api-key", "Deployment lab-gateway", "ExitNode lab-exit-node"])
def test_an_up_that_was_killed_is_finished_by_the_next(stack: Stack, moment: str) -> None:
    """From nothing; killed as soon as the engine says that it creates the thing."""
    life.destroy(stack)
    assert life.kill(stack, "up", lambda line: f"{moment} creating" in line)
    life.up(stack)
    life.assert_whole(stack)


def test_a_new_mesh_carries_packets_like_the_first(stack: Stack, connect: Connect) -> None:
    """The mesh peer joins the new Headscale as it joined the first."""
    peer.join(go_builds.resolve(pinned_tools.TAILSCALED).with_name("tailscale"), PKI.ca.read_text())
    with lab_world.headscale() as headscale:
        mesh_peer = lab_world.node_named(headscale, peer.HOSTNAME)
    client = connect("again")
    for url in (*lab_world.INTERNET, *lab_world.urls(mesh_peer)):
        assert lab_world.passes(client, url, 10)


def _un_approve(node: Node) -> None:
    headers = {"Authorization": f"Bearer {lab_world.api_key()}"}
    url = f"{peer.URL}/api/v1/node/{node.id}/approve_routes"
    trust = ssl.create_default_context(cafile=str(PKI.ca))
    httpx.post(url, json={"routes": []}, headers=headers, verify=trust).raise_for_status()
