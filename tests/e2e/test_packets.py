"""What the gateway is for: packets of a native WireGuard client, made only from what the orchestrator answered."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from console.errors import StepError
from console.run import capture
from gateway.headscale.models import Node
from infra.curve25519 import node_key_to_wireguard
from lab.mesh import june, june_app
from lab.network import joining, topology
from lab.network import wireguard_client as clients
from lab.network.addresses import CLUSTER
from lab.network.sandbox import in_network
from lab.network.wireguard_client import Client, Config
from tests.deadlines import wait_for
from tests.e2e import lab_world

Connect = Callable[[str], Client]
FIVE_MEGABYTES = 5_000_000
UPLINKS = [f"[{topology.UPLINK_IPV6}]" if ":" in node else topology.UPLINK_IPV4 for node in CLUSTER.nodes]
"""The node as the Internet host knows it, by each of the cluster's families."""


def test_clients_that_come_at_once_each_have_an_address() -> None:
    names = [f"at-once-{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        for _ in range(5):
            hosts = list(pool.map(joining.attach, names))
            assert len({host.ipv4 for host in hosts}) == len(names)
            list(pool.map(joining.detach, names))


def test_a_client_reaches_the_mesh_peer_as_the_exit_node(
    connect: Connect, mesh_peer: Node, outputs: dict[str, Any]
) -> None:
    client = connect("mesh")
    for url, gateway in zip(lab_world.urls(mesh_peer), outputs["exit_node"]["addresses"], strict=True):
        answer = client.identify(url)
        assert answer == {"host": "mesh-peer", "caller": gateway}


def test_a_client_reaches_the_internet(connect: Connect) -> None:
    client = connect("internet")
    for url in lab_world.INTERNET:
        assert client.identify(url)["host"] == "internet-host"


def test_only_through_the_gateway(stack: object) -> None:
    with clients.bystander("bystander") as prefix:
        for url in lab_world.INTERNET:
            with pytest.raises(Exception, match="curl"):
                capture([*prefix, "curl", "-sSgf", "--max-time", "2", url], doing="fetch without a tunnel")


def test_large_downloads_fit_every_mtu_on_the_way(connect: Connect, mesh_peer: Node) -> None:
    client = connect("large")
    for url in (*lab_world.urls(mesh_peer), *lab_world.INTERNET):
        assert client.download(f"{url}/download/{FIVE_MEGABYTES}") == FIVE_MEGABYTES


def test_two_clients_do_not_reach_each_other(register: Callable[[str], dict[str, Any]]) -> None:
    one, other = (Config.from_registration(register(name)) for name in ("one", "other"))
    with clients.connected("one", one) as client, clients.connected("other", other) as neighbour:
        assert lab_world.passes(client, lab_world.INTERNET[0], 5)
        assert lab_world.passes(neighbour, lab_world.INTERNET[0], 5)
        for address in other.addresses:
            assert not client.reaches(address.split("/")[0])


@pytest.mark.parametrize("node", UPLINKS)
def test_a_client_reaches_the_open_ports_of_the_node_and_no_other(connect: Connect, node: str, tmp_path: Path) -> None:
    """The app's own API may be at port 80 of the very node; API server and NodePorts are not for clients."""
    client, outside = connect("node"), in_network(topology.INTERNET)
    own_api, closed = f"http://{node}:80/", [f"http://{node}:8081/"]
    if node == UPLINKS[0]:  # June's Service is of the cluster's first family
        closed += [f"https://{node}:6443/version", f"http://{node}:{june.NODE_PORT}/"]
    with served_by_the_node(80, tmp_path), served_by_the_node(8081, tmp_path):
        for url in (own_api, *closed):
            wait_for(partial(answers, outside, url), f"{url} for a host outside of the tunnel")
        assert answers(client.inside, own_api)
        assert [url for url in closed if answers(client.inside, url)] == []


def answers(inside: Sequence[str], url: str) -> bool:
    """Whether HTTP or HTTPS answers, whatever it says."""
    curl = ("curl", "-skg", "--noproxy", "*", "--max-time", "2", "-o", "/dev/null", url)
    return subprocess.run([*inside, *curl], check=False).returncode == 0


@contextmanager
def served_by_the_node(port: int, directory: Path) -> Iterator[None]:
    """A web server at every address of the node, as an ingress is one."""
    program = (sys.executable, "-m", "http.server", str(port), "--bind", "::", "--directory", str(directory))
    server = subprocess.Popen([*in_network(topology.NODE), *program])
    try:
        yield
    finally:
        server.kill()
        server.wait()


def test_the_node_key_of_headscale_is_no_server_key(
    register: Callable[[str], dict[str, Any]], outputs: dict[str, Any]
) -> None:
    """Why HEADSCALE_SERVER_PUBLIC_KEY is the WireGuard interface's key."""
    answer = register("node-key")
    node_key = node_key_to_wireguard(outputs["exit_node"]["node_key"])
    assert answer["serverPublicKey"] == outputs["server_public_key"] != node_key
    with clients.connected("node-key", Config.from_registration(answer | {"serverPublicKey": node_key})) as client:
        assert not lab_world.passes(client, lab_world.INTERNET[0], 6)
        assert client.handshake_seconds() is None
    with clients.connected("node-key", Config.from_registration(answer)) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 6)


def test_nobody_unregisters_the_device_of_another_user(register: Callable[[str], dict[str, Any]]) -> None:
    answer = register("mine")
    with clients.connected("mine", Config.from_registration(answer)) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 5)
        with pytest.raises(StepError, match="This device is not yours"):
            june_app.unregister(june.URL, answer["publicKey"], user="somebody.else@lab.example")
        assert lab_world.passes(client, lab_world.INTERNET[0], 5)


def test_after_unregister_nothing_passes(register: Callable[[str], dict[str, Any]], mesh_peer: Node) -> None:
    answer = register("leaver")
    with clients.connected("leaver", Config.from_registration(answer)) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 5)
        june_app.unregister(june.URL, answer["publicKey"])
        wait_for(lambda: not lab_world.passes(client, lab_world.INTERNET[0], 0.5), "the end of its traffic", within=2)
        for url in (*lab_world.urls(mesh_peer), *lab_world.INTERNET):
            assert not lab_world.passes(client, url, 1)
