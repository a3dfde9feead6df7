"""A pod's WireGuard key is rotated beside devices that have the old one, of a stack of its own; they move, and it ends.

In this order: each test goes on where the one before has left the stack.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lab.cluster import kube
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.network.wireguard_client import Client, Config
from lab.pulumi.stack import Stack
from tests.deadlines import wait_for
from tests.e2e import lab_world, life
from tests.e2e.second_stack import beside
from tests.pings import pinging

pytestmark = pytest.mark.timeout(600)

NAME = "rotated"
NAMESPACE, GATEWAY = f"meshgate-{NAME}", f"meshgate-{NAME}"
PORT, NEXT = 31827, 31828
PREVIOUS = {"port": PORT}
RESTART_S = 5
"""A pod's replacement, as docs/figures.md has it."""


@pytest.fixture(scope="module")
def rotated(stack: Stack) -> Iterator[Stack]:
    with beside(stack, NAME, PORT, "10.85.0.0/16", tailscale_port=41645) as rotated:
        life.up(rotated)
        yield rotated


@pytest.fixture(scope="module")
def config(rotated: Stack) -> Config:
    """A device's config from before the rotation."""
    return lab_world.let_in_by_hand(NAMESPACE, GATEWAY)


@pytest.fixture(scope="module")
def device(config: Config) -> Iterator[Client]:
    with clients.connected("rotated-old", config) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 20)
        yield client


def change(rotated: Stack, **gateway: object) -> None:
    settings = rotated.settings()
    changed: dict[str, Any] = settings["gateways"][0] | gateway
    given = {name: value for name, value in changed.items() if value is not None}
    rotated.write(settings | {"gateways": [given]})


def ports() -> set[int]:
    """The node ports that lead to the gateway."""
    service = json.loads(kube.kubectl("get", "service", "-n", NAMESPACE, GATEWAY, "-o", "json"))
    return {port["nodePort"] for port in service["spec"]["ports"]}


@pytest.mark.quiet
def test_a_rotation_that_is_killed_goes_on_and_the_device_is_dark_for_a_pods_start(
    rotated: Stack, config: Config, device: Client
) -> None:
    change(rotated, endpoint=f"{topology.NODE_IPV4}:{NEXT}", key_rotation="2027", previous_key=PREVIOUS)
    preview = rotated.run("preview")
    assert f"gateway {NAME}: its WireGuard key becomes another one, and its devices (1 in all) go on" in preview
    assert "would need new configs" not in preview
    assert life.kill(rotated, "up", lambda line: f"WireGuardKey {NAME}-key updating" in line)
    rotated.recover()
    assert life.kill(rotated, "up", lambda line: f"Secret {NAME}-identity updating" in line)
    with pinging(device.inside, topology.INTERNET_IPV4) as pings:
        life.up(rotated)
        wait_for(lambda: lab_world.passes(device, lab_world.INTERNET[0], 1), "the device, with its old config", 30)
    print(f"\na rotation begins: the client was dark for {pings.longest_gap_s:.2f} s")  # noqa: T201 (a figure)
    assert pings.longest_gap_s < RESTART_S
    assert rotated.outputs()["previous_key"] == {
        "public_key": config.server_public_key,
        "endpoint": config.endpoint,
    }
    assert ports() == {PORT, NEXT}
    life.assert_settled(rotated)


def test_new_configs_have_the_new_key_and_all_pass_at_once(rotated: Stack, config: Config, device: Client) -> None:
    new = lab_world.let_in_by_hand(NAMESPACE, GATEWAY)
    outputs = rotated.outputs()
    assert (new.server_public_key, new.endpoint) == (outputs["server_public_key"], outputs["server_endpoint"])
    assert new.server_public_key != config.server_public_key
    with clients.connected("rotated-new", new) as newcomer:
        for client in (newcomer, device):
            assert lab_world.passes(client, lab_world.INTERNET[0], 10)
    said = life.make_verify(rotated)
    for port in (PORT, NEXT):
        assert f"wireguard at udp:{topology.NODE_IPV4}:{port}, from here: works" in said
    assert "the WireGuard key before the present one: works; devices that still use it: 1 of 2" in said
    assert "works until `previous_key` is taken out; devices that still use it: 1 of 2." in rotated.run("preview")


def test_a_device_moves_without_a_packet_lost(rotated: Stack, config: Config, device: Client) -> None:
    outputs = rotated.outputs()
    with pinging(device.inside, topology.INTERNET_IPV4) as pings:
        lab_world.move(device, config.server_public_key, outputs["server_public_key"], outputs["server_endpoint"])
        nobody = "no device uses the WireGuard key before the present one any more: `previous_key` can be taken out."
        wait_for(lambda: nobody in rotated.run("preview"), "the word that it has moved", 60)
    assert pings.longest_gap_s < 1


@pytest.mark.quiet
def test_at_its_time_the_old_key_leaves_nothing_behind(rotated: Stack, config: Config, device: Client) -> None:
    change(rotated, previous_key=PREVIOUS | {"until": "2020-01-01"})
    assert "would need new configs" not in rotated.run("preview"), "nobody uses it"
    with pinging(device.inside, topology.INTERNET_IPV4) as pings:
        life.up(rotated)
        wait_for(lambda: lab_world.passes(device, lab_world.INTERNET[0], 1), "the device, which has moved", 30)
    assert pings.longest_gap_s < RESTART_S
    assert ports() == {NEXT}
    assert "wireguard-previous" not in lab_world.containers(NAMESPACE, GATEWAY)
    assert kube.secret_value(NAMESPACE, GATEWAY, "previous-private-key") is None
    assert "previous_key" not in rotated.outputs()
    assert rotated.outputs()["server_public_key"] != config.server_public_key
    life.assert_settled(rotated)
