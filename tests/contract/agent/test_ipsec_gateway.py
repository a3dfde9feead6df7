"""Devices by IPsec at a whole gateway: real agent, real charon, stock clients with nothing but their profile."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.agent.certificates import common_name
from lab.network import strongswan
from tests.contract.agent.certified import another_gateways, seen_at
from tests.contract.agent.ipsec_gateway import Gateway, made_gateway
from tests.contract.agent.world import FAR_4, FAR_6, LAN_CLIENT, LAN_NEIGHBOUR, MESH_4, MESH_6, PRIVATE_4
from tests.deadlines import wait_for

END = "-----END CERTIFICATE-----\n"
TOLD_S = 3
"""A client that is told of the end of charon is back in a second, once there is a new one that knows it."""
UNTOLD_S = 30
"""One that is told nothing asks after 10 s, and waits 8 s for an answer."""


@pytest.fixture
def gateway(tmp_path: Path, wireguard_go: str) -> Iterator[Gateway]:
    with made_gateway(tmp_path, wireguard_go) as gateway:
        yield gateway


def test_a_device_is_in_with_nothing_but_its_profile_until_it_is_revoked(gateway: Gateway) -> None:
    gateway.start()
    device = gateway.register(name="phone")
    with gateway.connected(device) as client:
        client.comes_up()
        for address in (MESH_4, MESH_6, FAR_4, FAR_6):
            assert client.reaches(address), address
        assert not client.reaches(PRIVATE_4), "closed networks are closed to every protocol"
        own = gateway.world.client.run("ip", "-brief", "address")
        assert all(address.split("/")[0] in own for address in device["addresses"])
        assert "mtu 1280" in gateway.world.gateway.run("ip", "link", "show", "dev", "ipsec0")
        wait_for(lambda: seen_at(gateway.world, device).startswith(f"{LAN_CLIENT}:"), "a sighting", within=10)
        start = time.monotonic()
        gateway.revoke(device)
        assert not client.reaches(FAR_4)
        assert time.monotonic() - start < 2.5
        wait_for(client.is_refused, "the refusal", log=client.log)
        left = gateway.world.gateway.run("ip", "route", "show", "table", "all", "dev", "ipsec0")
        assert not [one for one in device["addresses"] if one.split("/")[0] in left], "no route outlives its device"


def test_a_device_comes_back_from_elsewhere(gateway: Gateway) -> None:
    """Its address is taken by the session that it had before, and it says nothing about that one (as Windows)."""
    gateway.start()
    device = gateway.register()
    silent = device["profile"].replace(
        "    meshgate {\n        version", "    meshgate {\n        unique = never\n        version"
    )
    with gateway.connected({"profile": silent}) as client:
        client.comes_up()
        client.process.kill()
        with gateway.connected({"profile": silent}, gateway.world.neighbour) as elsewhere:
            elsewhere.comes_up()
            assert elsewhere.reaches(MESH_4)
            assert elsewhere.reaches(MESH_6)
            wait_for(lambda: seen_at(gateway.world, device).startswith(f"{LAN_NEIGHBOUR}:"), "a sighting", within=10)


def test_windows_sends_its_certificates_subject(gateway: Gateway) -> None:
    gateway.start()
    device = gateway.register()
    name = common_name(device["id"])
    by_subject = device["profile"].replace(f"id = fqdn:{name}", f'id = "CN={name}"')
    with gateway.connected({"profile": by_subject}) as client:
        client.comes_up()
        assert client.reaches(MESH_4)
        gateway.revoke(device)
        assert not client.reaches(MESH_4)
        wait_for(client.is_refused, "the refusal", log=client.log)


@pytest.mark.parametrize("proposals", ["aes256-sha256-modp1024", "3des-sha1-modp2048"])
def test_a_client_that_knows_no_modern_ciphers_does_not_come_in(gateway: Gateway, proposals: str) -> None:
    """The first is what Windows asks for by itself."""
    gateway.start()
    profile = gateway.register()["profile"]
    old = re.sub(r"(?m)^        proposals = .*$", f"        proposals = {proposals}", profile)
    assert old != profile
    with gateway.connected({"profile": old}) as client:
        wait_for(lambda: client.says("NO_PROPOSAL_CHOSEN"), "the refusal", log=client.log)
        assert not client.says(strongswan.UP)


def pieces(chain: str) -> list[str]:
    return [f"{one}{END}" for one in chain.split(END) if one.strip()]


def test_who_has_another_certificate_is_refused(gateway: Gateway) -> None:
    gateway.start()
    device, revoked = gateway.register(), gateway.register()
    gateway.revoke(revoked)
    foreign = device["profile"]
    other = another_gateways(gateway.world, common_name(device["id"]))
    swapped = zip(pieces(device["certificate"]), pieces(other.chain), strict=True)
    for mine, theirs in (*swapped, (device["private_key"], other.key)):
        foreign = foreign.replace(mine, theirs)
    for profile in (revoked["profile"], foreign):
        with gateway.connected({"profile": profile}) as client:
            wait_for(client.is_refused, "the refusal", log=client.log)
            assert not client.says(strongswan.UP)
    with gateway.connected(device) as client:
        client.comes_up()
        assert client.reaches(MESH_4)


def test_sessions_outlive_the_agent_and_new_ones_need_it_not(gateway: Gateway) -> None:
    gateway.start()
    world = gateway.world
    device, other = gateway.register(), gateway.register()
    with gateway.connected(device) as client:
        client.comes_up()
        world.stop_agent(signal.SIGKILL)
        assert client.reaches(MESH_4)
        with gateway.connected(other, world.neighbour) as second:
            second.comes_up()
            assert second.reaches(MESH_4)
            assert not second.reaches(device["addresses"][0].split("/")[0]), "clients never reach each other"
            world.start_agent()
            world.wait_until_ready()
            assert client.reaches(MESH_4)
            gateway.revoke(device)
            assert not client.reaches(MESH_4)
            assert second.reaches(MESH_4)


def test_an_agent_that_comes_back_knows_who_left_meanwhile(gateway: Gateway) -> None:
    gateway.start()
    device, other = gateway.register(ttl_seconds=4), gateway.register()
    with gateway.connected(device) as client:
        client.comes_up()
        gateway.world.stop_agent(signal.SIGKILL)
        time.sleep(4)
        gateway.world.start_agent()
        gateway.world.wait_until_ready()
        assert not client.reaches(MESH_4)
        wait_for(client.is_refused, "the refusal", log=client.log)
    with gateway.connected(other) as client:
        client.comes_up()


@pytest.mark.parametrize(("how", "within"), [(signal.SIGTERM, TOLD_S), (signal.SIGKILL, UNTOLD_S)])
def test_a_new_charon_has_all_devices_before_it_answers(gateway: Gateway, how: signal.Signals, within: float) -> None:
    gateway.start()
    device = gateway.register()
    for _ in range(50):
        gateway.register()
    with gateway.connected(device) as client:
        client.comes_up()
        first = gateway.charon()
        os.kill(first, how)
        wait_for(lambda: client.says(strongswan.UP) == 2, "the client", within, log=client.log)
        assert client.reaches(MESH_4)
        assert gateway.charon() != first
        assert not client.is_refused()


def test_name_servers_that_change_are_told_to_who_comes_next(gateway: Gateway) -> None:
    gateway.start()
    device, other = gateway.register(), gateway.register()
    with gateway.connected(device) as client, gateway.world.more_settings(DNS="10.77.255.53"):
        client.comes_up()
        time.sleep(3)  # settings are read again every second
        with gateway.connected(other, gateway.world.neighbour) as second:
            second.comes_up()
            assert second.says("INTERNAL_IP4_DNS")
        assert client.reaches(MESH_4)
        assert client.says(strongswan.UP) == 1


def test_a_session_moves_along_to_another_network(gateway: Gateway) -> None:
    gateway.start()
    world = gateway.world
    client_side, bridge = world.client, world.gateway
    bridge.run("ip", "link", "add", "lan9", "type", "veth", "peer", "name", "wifi", "netns", client_side.name)
    bridge.run("ip", "link", "set", "lan9", "master", "lan", "up")
    client_side.run("ip", "address", "add", "10.213.7.12/24", "dev", "wifi")
    device = gateway.register()
    with gateway.connected(device) as client:
        client.comes_up()
        client_side.run("ip", "link", "set", "wifi", "up")
        client_side.run("ip", "link", "set", "lan", "down")
        wait_for(lambda: client.reaches(MESH_4), "the client on its other network", within=10, log=client.log)
        assert client.says(strongswan.SESSION) == 1, "it is the same session"
        wait_for(lambda: seen_at(world, device).startswith("10.213.7.12:"), "a sighting", within=10)
