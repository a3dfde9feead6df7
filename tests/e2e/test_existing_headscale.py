"""A second stack, of a user who has a Headscale already: here the one that the first stack manages."""

from collections.abc import Iterator

import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from lab.cluster import kube
from lab.network import wireguard_client as clients
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, life

pytestmark = pytest.mark.timeout(300)

NAMESPACE, NAME, PORT = "meshgate-second", "second", 31821


@pytest.fixture
def second(stack: Stack) -> Iterator[Stack]:
    settings = stack.settings()
    gateway = settings["gateways"][0] | {
        "name": NAME,
        "endpoint": f"10.213.0.1:{PORT}",
        "client_networks": ["10.79.0.0/16"],
        "tailscale_port": 41643,
    }
    existing = {"managed": False, **{key: settings["headscale"][key] for key in ("url", "ca_certificate")}}
    second = Stack(pulumi_host.find(), NAME)
    second.prepare(
        settings | {"namespace": NAMESPACE, "headscale": existing, "gateways": [gateway], "orchestrator": {}}
    )
    second.set_secret("headscale_api_key", lab_world.api_key())
    yield second
    life.destroy(second)
    second.remove()


def test_its_gateway_comes_and_goes_and_the_first_stays(stack: Stack, second: Stack, headscale: Headscale) -> None:
    before = {node.id for node in headscale.nodes()}
    life.up(second)
    life.assert_settled(second)

    node = lab_world.node_named(headscale, f"meshgate-{NAME}")
    assert node.is_exit
    assert second.outputs()["exit_node"]["id"] == node.id
    assert second.outputs()["server_public_key"] != stack.outputs()["server_public_key"]
    config = lab_world.let_in_by_hand(NAMESPACE, f"meshgate-{NAME}")
    assert config.server_public_key == second.outputs()["server_public_key"]
    with clients.connected("second", config) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)

    second.run("destroy", "--yes", "--skip-preview")
    assert {node.id for node in headscale.nodes()} == before
    with pytest.raises(NotFoundError):
        headscale.user(f"meshgate-{NAME}")
    assert NAMESPACE not in kube.kubectl("get", "namespaces", "-o", "name")
    life.assert_whole(stack)
