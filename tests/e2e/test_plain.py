"""A stack without Headscale: a plain endpoint, which can become a node of a mesh and plain again."""

from collections.abc import Iterator
from typing import Any

import pytest

from console.errors import StepError
from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from gateway.headscale.models import Node
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, life

pytestmark = pytest.mark.timeout(300)

NAME = "plain"
NAMESPACE, GATEWAY = f"meshgate-{NAME}", f"meshgate-{NAME}"
OF_NO_MESH = {"headscale", "headscale_api_key", "orchestrator"}


@pytest.fixture
def settings(stack: Stack) -> dict[str, Any]:
    """The lab's, but for the mesh and what two stacks must not share."""
    lab = stack.settings()
    gateway = lab["gateways"][0] | {
        "name": NAME,
        "endpoint": f"{topology.NODE_IPV4}:31824",
        "client_networks": ["10.81.0.0/16", "fd81::/64"],
    }
    del gateway["tailscale_image"]
    kept = {name: value for name, value in lab.items() if name not in OF_NO_MESH}
    return kept | {"namespace": NAMESPACE, "gateways": [gateway]}


@pytest.fixture
def plain(settings: dict[str, Any]) -> Iterator[Stack]:
    plain = Stack(pulumi_host.find(), NAME)
    plain.prepare(settings)
    yield plain
    life.destroy(plain)
    plain.remove()


def test_it_needs_no_headscale_and_joins_and_leaves_a_mesh(
    stack: Stack, plain: Stack, settings: dict[str, Any], headscale: Headscale, mesh_peer: Node
) -> None:
    life.up(plain)
    life.assert_settled(plain)
    assert plain.outputs().keys() == {"server_public_key", "server_endpoint", "peers_url", "client_networks"}
    assert lab_world.containers(NAMESPACE, GATEWAY) == {"wireguard", "agent"}

    config = lab_world.let_in_by_hand(NAMESPACE, GATEWAY)
    assert config.server_public_key == plain.outputs()["server_public_key"]
    with clients.connected(NAME, config) as client:
        for url in lab_world.INTERNET:
            assert client.identify(url, 10)["host"] == "internet-host"
        assert client.download(f"{lab_world.INTERNET[0]}/download/5000000") == 5_000_000
        assert not lab_world.passes(client, lab_world.urls(mesh_peer)[0], 2)

        server = stack.settings()["headscale"]
        existing = {"managed": False, "url": server["url"], "ca_certificate": server["ca_certificate"]}
        plain.write(settings | {"headscale": existing})
        plain.set_secret("headscale_api_key", lab_world.api_key())
        life.up(plain)
        assert lab_world.node_named(headscale, GATEWAY).is_exit
        for url in (*lab_world.INTERNET, *lab_world.urls(mesh_peer)):
            assert lab_world.passes(client, url, 20), f"{url}, with the config that the device has"

        joined = plain.settings()
        plain.write(settings)
        with pytest.raises(StepError):
            plain.up()
        assert "Set it again, take every gateway out of the mesh" in plain.log.read_text()
        assert lab_world.containers(NAMESPACE, GATEWAY) == {"tailscale", "wireguard", "agent"}, "nothing is half done"

        plain.write(joined)
        plain.set_secret("headscale_api_key", lab_world.api_key())
        (gateway,) = settings["gateways"]
        plain.write(plain.settings() | {"gateways": [gateway | {"mesh": False}]})
        life.up(plain)
        plain.write(settings)
        life.up(plain)
        life.assert_settled(plain)
        assert GATEWAY not in [node.given_name for node in headscale.nodes()]
        with pytest.raises(NotFoundError):
            headscale.user(GATEWAY)
        assert lab_world.containers(NAMESPACE, GATEWAY) == {"wireguard", "agent"}
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)
