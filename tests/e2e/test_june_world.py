"""A stack in June's world: its gateway beside June's Headscale, its names in the orchestrator's env, then nothing."""

from collections.abc import Iterator
from typing import Any

import pytest

from console.errors import StepError
from gateway.headscale.errors import NotFoundError
from lab.cluster import kube
from lab.mesh import june, june_app
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.network.wireguard_client import Config
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from tests.e2e import june_world, lab_world, life
from tests.e2e.june_world import HEADSCALE, ORCHESTRATOR, SERVICES, World

pytestmark = pytest.mark.timeout(600)  # the first run on a machine builds Headscale 0.23.0

NAME, USER = "june", "gateways"
GATEWAY = f"meshgate-{NAME}"


@pytest.fixture
def world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with june_world.running(tmp_path_factory.mktemp("june")) as world:
        yield world


@pytest.fixture
def settings(stack: Stack, world: World) -> dict[str, Any]:
    """As examples/stacks/Pulumi.prod.yaml has them; the namespace is not made."""
    lab = stack.settings()
    gateway = lab["gateways"][0] | {
        "name": NAME,
        "endpoint": f"{topology.NODE_IPV4}:31826",
        "client_networks": ["10.83.0.0/16", "fd83::/64"],
    }
    return {
        "cluster": lab["cluster"],
        "namespace": HEADSCALE,
        "create_namespace": False,
        "headscale": {
            "managed": False,
            "url": june_world.URL,
            "ca_certificate": world.ca_certificate,
            "user": USER,
        },
        "gateways": [gateway],
        "orchestrator": {"namespace": SERVICES, "deployment": june.DEPLOYMENT},
    }


@pytest.fixture
def prod(world: World, settings: dict[str, Any]) -> Iterator[Stack]:
    prod = Stack(pulumi_host.find(), NAME)
    prod.prepare(settings)
    yield prod
    life.destroy(prod)
    prod.remove()


def test_a_stack_comes_into_junes_world_and_leaves_it_as_it_was(
    world: World, prod: Stack, settings: dict[str, Any]
) -> None:
    before = world.everything()
    with world.headscale() as headscale:
        nodes = {node.id for node in headscale.nodes()}
        prod.write(settings | {"create_namespace": True})
        prod.set_secret("headscale_api_key", world.api_key)
        with pytest.raises(StepError, match=f"Namespace {HEADSCALE} exists and is not this stack's"):
            prod.run("preview")

        prod.write(settings)
        prod.set_secret("headscale_api_key", world.api_key)
        life.up(prod)
        life.assert_settled(prod)
        assert lab_world.node_named(headscale, GATEWAY).is_exit
        assert kube.environment(SERVICES, june.DEPLOYMENT).keys() >= set(june.VARIABLES)
        during = world.everything()
        changed = {name for name, content in before.items() if during.get(name) != content}
        assert changed == {f"{SERVICES}/Deployment/{june.DEPLOYMENT}"}
        assert f"{HEADSCALE}/Deployment/{GATEWAY}" in during

        june.wait(SERVICES)
        answer = june_app.register(ORCHESTRATOR, "phone")
        assert answer["serverPublicKey"] == prod.outputs()["server_public_key"]
        with clients.connected("june-world", Config.from_registration(answer)) as client:
            assert lab_world.passes(client, lab_world.INTERNET[0], 20)

        prod.run("destroy", "--yes", "--skip-preview")
        assert world.everything() == before
        assert {node.id for node in headscale.nodes()} == nodes
        with pytest.raises(NotFoundError):
            headscale.user(USER)
    june.wait(SERVICES)
