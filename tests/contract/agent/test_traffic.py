"""What passes the gateway and what does not: a real agent, wireguard-go, nft and packets."""

import configparser
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.contract.agent.namespaces import Namespace, in_namespace
from tests.contract.agent.world import (
    FAR_4,
    FAR_6,
    HTTP_PORT,
    MESH_4,
    MESH_6,
    PRIVATE_4,
    PROBE_PORT,
    ROOT,
    Client,
    World,
)
from tests.deadlines import wait_for
from tests.device_paths import device_path
from tests.unit.agent.fakes import KeyPair, key_pair

SERVER_PORT = 7000
SIZE = 2_000_000
NO_PACKET_TOO_BIG = """
table inet silent {
    chain output {
        type filter hook output priority filter;
        icmp type destination-unreachable drop
        icmpv6 type { packet-too-big, destination-unreachable } drop
    }
}
"""


@contextmanager
def serving(world: World) -> Iterator[None]:
    """The far host's server during a block."""
    server = world.far.start("python3", str(ROOT / "tests/contract/agent/far_server.py"), str(SERVER_PORT))
    wait_for(lambda: f":{SERVER_PORT} " in world.far.run("ss", "-Hltn"), "the far server")
    try:
        yield
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def far_server(world: World) -> Iterator[None]:
    with serving(world):
        yield


@pytest.fixture
def no_packet_too_big(world: World) -> Iterator[None]:
    for namespace in (world.far, world.gateway):
        namespace.run("nft", "-f", "-", stdin=NO_PACKET_TOO_BIG)
    yield
    for namespace in (world.far, world.gateway):
        namespace.run("nft", "delete", "table", "inet", "silent")


def talk(namespace: Namespace, address: str, request: str, body: bytes = b"") -> bytes:
    """One exchange with the far server; all bytes it sent."""
    with in_namespace(namespace.name):
        connection = socket.create_connection((address, SERVER_PORT), timeout=10)
    with connection:
        connection.sendall(request.encode() + b"\n" + body)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


def test_a_device_whose_key_the_gateway_made_is_in_with_its_file(world: World) -> None:
    made = world.call("POST", "/v1/peers", json={"make_key": True, "preshared_key": key_pair().private}).json()
    config = configparser.ConfigParser()
    config.read_string(made["profile"])
    with world.new_client() as client:
        client.keys = KeyPair(config["Interface"]["PrivateKey"], made["public_key"])
        client.configure(made, preshared_key=config["Peer"]["PresharedKey"])
        assert client.reaches(FAR_4)
    assert world.call("DELETE", device_path(made["id"])).status_code == 204


@pytest.mark.usefixtures("far_server")
def test_a_registered_client_reaches_mesh_and_internet_as_the_gateway(client: Client) -> None:
    seen_as = {
        MESH_4: b"::ffff:100.64.0.1",
        MESH_6: b"fd7a:115c:a1e0::1",
        FAR_4: b"::ffff:198.51.100.1",
        FAR_6: b"2001:db8:100::1",
    }
    assert {address: talk(client.namespace, address, "GET 0") for address in seen_as} == seen_as
    assert all(client.reaches(address) for address in seen_as)


@pytest.mark.usefixtures("far_server", "no_packet_too_big")
def test_large_transfers_pass_although_nobody_says_packet_too_big(client: Client) -> None:
    """The client's own MTU is 1420, the tunnel's and the mesh's 1280: only the MSS clamp saves both directions."""
    for address in (MESH_4, MESH_6, FAR_4, FAR_6):
        assert len(talk(client.namespace, address, f"GET {SIZE}")) > SIZE, address
        assert talk(client.namespace, address, f"PUT {SIZE}", bytes(SIZE)), address


def test_clients_do_not_reach_the_agent_or_private_networks(client: Client) -> None:
    assert client.reaches("10.77.0.1")
    assert client.reaches("fd77::1")
    assert not client.reaches(PRIVATE_4, within_s=1)
    for address in ("10.77.0.1", "100.64.0.1", "198.51.100.1", "fd77::1"):
        for port in (HTTP_PORT, PROBE_PORT):
            with in_namespace(client.namespace.name), pytest.raises(TimeoutError):
                socket.create_connection((address, port), timeout=0.7)


def test_clients_do_not_reach_each_other(world: World, client: Client) -> None:
    with world.new_client(world.neighbour) as neighbour:
        neighbour.configure(world.register(neighbour.keys.public))
        assert neighbour.reaches(FAR_4)
        address = world.addresses(neighbour)[0]
        assert not client.reaches(address, within_s=1)
        world.gateway.run("nft", "flush", "chain", "inet", "meshgate", "forward")
        assert client.reaches(address, within_s=1), "without the firewall they would"
    wait_for(lambda: bool(world.rules("forward")), "the firewall")


def test_nobody_opens_a_connection_to_a_client(world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    world.far.run("ip", "route", "replace", "10.77.0.0/24", "via", "198.51.100.1")
    ping = ("ping", "-n", "-c1", "-W1", world.addresses(client)[0])
    assert world.far.tried(*ping).returncode != 0
    world.gateway.run("nft", "flush", "chain", "inet", "meshgate", "forward")
    assert world.far.tried(*ping).returncode == 0, "without the firewall they would"
    wait_for(lambda: bool(world.rules("forward")), "the firewall")


def test_nobody_else_can_use_a_clients_address(world: World, client: Client) -> None:
    """A packet from outside with a client's source would be masqueraded into the mesh."""
    assert client.reaches(MESH_4)
    world.far.run("ip", "address", "replace", "10.77.0.200/32", "dev", "inet")
    world.far.run("ip", "rule", "add", "from", "10.77.0.200", "lookup", "77")
    world.far.run("ip", "route", "replace", "default", "via", "198.51.100.1", "table", "77")
    ping = ("ping", "-n", "-c1", "-W1", "-I", "10.77.0.200", "100.64.0.3")
    before = forwarded(world)
    world.far.tried(*ping)
    assert forwarded(world) == before
    world.gateway.run("nft", "flush", "chain", "inet", "meshgate", "spoofed")
    world.far.tried(*ping)
    assert forwarded(world) == before + 1, "without the firewall it would pass"
    wait_for(lambda: bool(world.rules("spoofed")), "the firewall")


def forwarded(world: World) -> int:
    """How many IPv4 packets the gateway has passed on."""
    names, values = world.gateway.run("cat", "/proc/net/snmp").splitlines()[:2]
    return int(dict(zip(names.split(), values.split(), strict=True))["ForwDatagrams"])


def test_a_preshared_key_is_needed_once_it_is_set(world: World, client: Client) -> None:
    preshared = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    answer = world.register(client.keys.public, preshared_key=preshared)
    client.forget_server(answer)
    client.configure(answer)
    assert not client.reaches(FAR_4, within_s=1)
    client.forget_server(answer)
    client.configure(answer, preshared_key=preshared)
    assert client.reaches(FAR_4)


def test_a_peer_passes_at_once_after_the_answer_and_never_after_removal(world: World, client: Client) -> None:
    assert client.reaches(FAR_4, within_s=1)
    world.call("DELETE", f"/v1/peers/{client.keys.public}").raise_for_status()
    assert not client.reaches(FAR_4, within_s=1)
    assert client.keys.public not in world.gateway.run("wg", "show", world.interface, "peers")
