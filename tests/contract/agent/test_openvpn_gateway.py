"""Devices by OpenVPN at a whole gateway: real agent, real OpenVPN, stock clients with nothing but their profile."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra import certificate_authority
from lab.tools import debian_packages
from tests.contract.agent.conftest import made_world
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.world import (
    FAR_4,
    FAR_6,
    LAN_CLIENT,
    LAN_GATEWAY,
    LAN_NEIGHBOUR,
    MESH_4,
    MESH_6,
    PRIVATE_4,
    World,
)
from tests.deadlines import wait_for

UDP, TCP = 1194, 1443
REFUSED = "AUTH_FAILED"
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
_counter = itertools.count()


class Gateway:
    """A world whose gateway lets devices in by WireGuard and by OpenVPN, the latter by two transports."""

    def __init__(self, world: World) -> None:
        debian_packages.ensure({"openvpn": debian_packages.ONLY_TESTS["openvpn"]})
        self.world = world
        self.directory = world.directory
        ca = certificate_authority.make("a CA for tests")
        issuing = certificate_authority.issuing(ca, "a gateway's")
        (self.directory / "issuing.pem").write_text(issuing.certificate + ca.certificate)
        (self.directory / "issuing.key").write_text(issuing.key)
        meeting = self.directory / "openvpn"
        meeting.mkdir(mode=0o700)
        world.environment |= {
            "MESHGATE_OPENVPN_LISTEN": f"udp:{UDP},tcp:{TCP}",
            "MESHGATE_OPENVPN_DIR": str(meeting),
            "MESHGATE_ISSUING_CERTIFICATE_FILE": str(self.directory / "issuing.pem"),
            "MESHGATE_ISSUING_KEY_FILE": str(self.directory / "issuing.key"),
        }
        self.offer("udp", "tcp")
        self.process: subprocess.Popen[bytes] | None = None

    def offer(self, *transports: str) -> None:
        """Where clients find the gateway; the other transport leads nowhere."""
        ports = {"udp": UDP, "tcp": TCP}
        told = (f"{name}:{LAN_GATEWAY}:{port if name in transports else 9}" for name, port in ports.items())
        self.world.environment["MESHGATE_OPENVPN_ENDPOINTS"] = ",".join(told)

    def start(self) -> None:
        self.start_process()
        self.world.start()

    def start_process(self) -> None:
        module = "gateway.agent.protocols.openvpn.server_process"
        self.process = self.world.gateway.start(sys.executable, "-m", module, env=self.world.agent_environment())

    def children(self) -> list[int]:
        assert self.process is not None
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def register(self, **more: object) -> dict[str, Any]:
        answer = self.world.call("POST", "/v1/peers", json={"protocol": "openvpn", "make_key": True, **more})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def seen_at(self, device: dict[str, Any]) -> str:
        return self.world.call("GET", path(device)).json()["last_endpoint"] or ""

    def revoke(self, device: dict[str, Any]) -> None:
        assert self.world.call("DELETE", path(device)).status_code == 204

    @contextmanager
    def connected(self, device: dict[str, Any], namespace: Namespace | None = None) -> Iterator["OpenVpnClient"]:
        client = OpenVpnClient(self.directory, namespace or self.world.client, device["profile"])
        try:
            yield client
        finally:
            client.stop()


class OpenVpnClient:
    """A stock client in a namespace; its log is all that it says."""

    def __init__(self, directory: Path, namespace: Namespace, profile: str) -> None:
        self.namespace = namespace
        name = f"client{next(_counter)}"
        self.log = directory / f"{name}.log"
        self.file = directory / f"{name}.ovpn"
        self.file.touch(mode=0o600)
        self.file.write_text(profile)
        self.process = namespace.start("openvpn", "--config", str(self.file), "--log", str(self.log))

    def says(self, text: str) -> int:
        return self.log.read_text().count(text) if self.log.exists() else 0

    def comes_up(self, within: float = 20) -> None:
        wait_for(lambda: self.says("Initialization Sequence Completed"), "the client", within, log=self.log)

    def reaches(self, address: str) -> bool:
        return self.namespace.tried("ping", "-n", "-c1", "-W1", address).returncode == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def path(device: dict[str, Any]) -> str:
    return f"/v1/peers/{device['id'].replace('/', '_').replace('+', '-')}"


@pytest.fixture
def gateway(tmp_path: Path, wireguard_go: str) -> Iterator[Gateway]:
    with made_world(tmp_path, wireguard_go) as world:
        gateway = Gateway(world)
        try:
            yield gateway
        finally:
            if gateway.process and gateway.process.poll() is None:
                gateway.process.terminate()
                gateway.process.wait(10)


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
        wait_for(lambda: client.says(REFUSED), "the refusal", within=10, log=client.log)
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
