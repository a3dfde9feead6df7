"""A second stack, of a user who has a Headscale already: here the one that the first stack manages."""

from collections.abc import Iterator

import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from lab.cluster import kube
from lab.network import wireguard_client as clients
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, life
from tests.e2e.second_stack import beside

pytestmark = pytest.mark.timeout(300)

NAMESPACE, NAME = "meshgate-second", "second"


@pytest.fixture
def second(stack: Stack) -> Iterator[Stack]:
    with beside(stack, NAME, 31821, "10.79.0.0/16", tailscale_port=41643) as second:
        yield second


def test_its_gateway_comes_and_goes_and_the_first_stays(stack: Stack, second: Stack, headscale: Headscale) -> None:
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
    assert node.id not in {left.id for left in headscale.nodes()}
    with pytest.raises(NotFoundError):
        headscale.user(f"meshgate-{NAME}")
    assert NAMESPACE not in kube.kubectl("get", "namespaces", "-o", "name")
    life.assert_whole(stack)
