"""Devices by OpenVPN at a whole gateway: real agent, real OpenVPN, stock clients with nothing but their profile."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.agent import certificates
from gateway.agent.protocols.openvpn import TOLD, server_files
from tests.contract.agent.certified import issuer
from tests.contract.agent.conftest import made_world
from tests.contract.agent.openvpn_gateway import UDP, Gateway
from tests.contract.agent.world import (
    FAR_4,
    FAR_6,
    LAN_CLIENT,
    LAN_NEIGHBOUR,
    MESH_4,
    MESH_6,
    PRIVATE_4,
)
from tests.deadlines import wait_for

REFUSED = "AUTH_FAILED"
TRIES_AGAIN_S = 20
"""A client that tries again whatever it was told (auth-retry) pauses for 10 s before it does."""
IMPATIENT = "pull-filter ignore ping\nping 1\nping-restart 5\n"
"""Nothing but the ping timer tells a client that its server was killed: here it is 5 s, by default 60 s."""
BLOCK_UDP = f"""
table inet blocked {{
    chain output {{
        type filter hook output priority filter;
        udp dport {UDP} drop
    }}
}}
"""


@pytest.fixture
def gateway(tmp_path: Path, wireguard_go: str) -> Iterator[Gateway]:
    with made_world(tmp_path, wireguard_go) as world:
        gateway = Gateway(world)
        try:
            yield gateway
        finally:
            gateway.stop_process()


def test_a_device_is_in_with_nothing_but_its_profile_until_it_is_revoked(gateway: Gateway) -> None:
    gateway.start()
    device = gateway.register(name="phone")
    with gateway.connected(device) as client:
        client.comes_up()
        for address in (MESH_4, MESH_6, FAR_4, FAR_6):
            assert client.reaches(address), address
        assert not client.reaches(PRIVATE_4), "closed networks are closed to every protocol"
        own = gateway.world.client.run("ip", "-brief", "address", "show", "dev", "tun0")
        assert all(address.split("/")[0] in own for address in device["addresses"])
        assert "mtu 1280" in gateway.world.client.run("ip", "link", "show", "dev", "tun0")
        wait_for(lambda: gateway.seen_at(device).startswith(f"{LAN_CLIENT}:"), "a sighting", within=10)
        start = time.monotonic()
        gateway.revoke(device)
        assert not client.reaches(FAR_4)
        assert time.monotonic() - start < 2.5
        wait_for(lambda: client.says(REFUSED), "the refusal", TRIES_AGAIN_S, log=client.log)
    routes = gateway.world.gateway.run("ip", "route") + gateway.world.gateway.run("ip", "-6", "route")
    assert "ovpn" not in routes.replace("fe80::/64 dev ovpn", "")


def test_where_udp_is_blocked_a_device_comes_by_tcp_with_the_same_address(gateway: Gateway) -> None:
    gateway.start()
    device = gateway.register()
    with gateway.connected(device) as client:
        client.comes_up()
        assert client.reaches(MESH_4)
        gateway.world.neighbour.run("nft", "-f", "-", stdin=BLOCK_UDP)
        with gateway.connected(device, gateway.world.neighbour) as elsewhere:  # the same device, at another place
            elsewhere.comes_up()
            assert elsewhere.reaches(MESH_4)
            assert elsewhere.reaches(MESH_6)
            assert not client.reaches(MESH_4)
            wait_for(lambda: gateway.seen_at(device).startswith(f"{LAN_NEIGHBOUR}:"), "a sighting", within=10)


def test_no_route_outlives_its_device(gateway: Gateway) -> None:
    """The next device at that address may come by WireGuard."""
    gateway.start()
    device = gateway.register()
    own = device["addresses"][0]
    with gateway.connected(device) as client:
        client.comes_up()
        assert "dev ovpn-udp" in gateway.world.gateway.run("ip", "route", "show", own)
        gateway.revoke(device)
        gateway.world.gateway.run("ip", "route", "add", own, "dev", "ovpn-udp")  # as of an agent that was killed
        wait_for(lambda: not gateway.world.gateway.run("ip", "route", "show", own), "the end of the route", within=10)


def test_both_protocols_stand_side_by_side(gateway: Gateway) -> None:
    gateway.start()
    world = gateway.world
    device = gateway.register()
    with gateway.connected(device, world.neighbour) as client, world.new_client() as native:
        native.configure(world.register(native.keys.public))
        client.comes_up()
        assert client.reaches(MESH_4)
        assert native.reaches(MESH_4)
        theirs = device["addresses"][0].split("/")[0]
        assert not native.reaches(theirs, within_s=1), "clients never reach each other"
        assert not client.reaches(world.addresses(native)[0])
        world.stop_agent(signal.SIGKILL)
        assert client.reaches(MESH_4), "sessions outlive the agent"
        world.start_agent()
        world.wait_until_ready()
        assert client.reaches(MESH_4)
        gateway.revoke(device)
        assert not client.reaches(MESH_4)
        assert native.reaches(MESH_4)


def test_a_killed_openvpn_is_back_and_so_are_its_devices(gateway: Gateway) -> None:
    gateway.start()
    device = gateway.register()
    with gateway.connected({"profile": IMPATIENT + device["profile"]}) as client:
        client.comes_up()
        killed = gateway.children()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(gateway.children()) == 2 and not set(killed) & set(gateway.children()), "OpenVPN", 5)
        gateway.world.wait_until_ready()
        wait_for(lambda: client.says("Initialization Sequence Completed") == 2, "the client", 30, log=client.log)
        assert client.reaches(MESH_4)


def test_openvpn_starts_anew_with_a_certificate_that_is_renewed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.start()
    told = gateway.directory / "openvpn" / TOLD
    device = gateway.register()
    with gateway.connected(device) as client:
        client.comes_up()
        gateway.world.stop_agent()
        with monkeypatch.context() as then:
            then.setattr(certificates, "SERVERS", certificates.RENEWED_BEFORE)  # as one that was made 305 days ago
            told.unlink()
            server_files.renew(issuer(gateway.world), told.parent, 1280)
        ending, before = end_of(told), gateway.children()
        gateway.world.start_agent()
        wait_for(lambda: end_of(told) > ending + timedelta(days=300), "another certificate")
        wait_for(lambda: len(gateway.children()) == 2 and not set(before) & set(gateway.children()), "OpenVPN", 10)
        gateway.world.wait_until_ready()
        wait_for(lambda: client.reaches(MESH_4), "the client", TRIES_AGAIN_S, log=client.log)


def end_of(told: Path) -> datetime:
    """When the certificate ends that OpenVPN is told."""
    return x509.load_pem_x509_certificate(told.read_text().partition("<cert>\n")[2].encode()).not_valid_after_utc


@pytest.mark.parametrize(
    ("modern", "old", "said"),
    [
        ("data-ciphers AES-256-GCM:CHACHA20-POLY1305", "data-ciphers AES-256-CBC", "no shared cipher"),
        ("tls-version-min 1.3", "tls-version-max 1.2\nhand-window 5", "TLS key negotiation failed"),
    ],
)
def test_a_client_that_knows_no_modern_ciphers_does_not_come_in(
    gateway: Gateway, modern: str, old: str, said: str
) -> None:
    gateway.start()
    profile = gateway.register()["profile"]
    assert modern in profile
    with gateway.connected({"profile": profile.replace(modern, old)}) as client:
        wait_for(lambda: client.says(said), "the refusal", TRIES_AGAIN_S, log=client.log)
        assert not client.says("Initialization Sequence Completed")


def test_without_the_devices_key_of_tls_crypt_nobody_gets_an_answer(gateway: Gateway) -> None:
    gateway.start()
    device, other = gateway.register(), gateway.register()
    gateway.revoke(other)
    mixed = device["profile"].partition("<tls-crypt-v2>")[0]
    with gateway.connected({"profile": mixed}) as client:
        time.sleep(3)
        assert not client.says("TLS: Initial packet from"), client.log.read_text()
    with gateway.connected(other) as client:
        wait_for(lambda: client.says(REFUSED), "the refusal", within=15, log=client.log)
        assert client.process.poll() is None, "it tries again, as after a time without agent"
