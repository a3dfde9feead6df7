"""Every way in at once, on one gateway and in its mesh: in, through, out, and given up."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from gateway.headscale.models import Node
from lab import paths
from lab.cluster import kube
from lab.cluster.startup import PKI
from lab.mesh import june, june_app
from lab.network import ipsec_client, openvpn_client, strongswan, tailscale_client, topology
from lab.network.addresses import CLUSTER
from lab.network.tunnel_client import TunnelClient
from lab.pulumi.stack import Stack
from lab.tools import debian_packages
from tests.deadlines import wait_for
from tests.e2e import every_way, lab_world, life
from tests.e2e.every_way import GATEWAY, JUNE, NAMESPACE, ORCHESTRATOR
from tests.e2e.test_pod import NET_ADMIN

DIRECT = (f"{topology.MESH_PEER_IPV4}:41641", f"[{topology.MESH_PEER_IPV6}]:41641")
"""The mesh peer without a relay."""
pytestmark = pytest.mark.timeout(500)

NET_BIND_SERVICE = 1 << 10
BACK_S = 30
"""OpenVPN and charon tell their clients when the pod ends. Those try again until the next one answers, every 10 s."""
OUT_S = 5
"""Headscale tells the other nodes that a device is no node any more."""
MIB_5 = f"{lab_world.INTERNET[0]}/download/5000000"


@pytest.fixture(scope="module")
def ways(stack: Stack) -> Iterator[Stack]:
    with every_way.running(stack) as ways:
        yield ways


def test_devices_of_every_way_are_in_until_they_are_unregistered(
    ways: Stack, headscale: Headscale, mesh_peer: Node
) -> None:
    life.assert_settled(ways)
    assert lab_world.containers(NAMESPACE, GATEWAY) == {"tailscale", "wireguard", "openvpn", "ipsec", "agent"}
    assert capabilities("openvpn") == NET_ADMIN
    assert capabilities("ipsec") == NET_ADMIN | NET_BIND_SERVICE

    nodes = {node.given_name for node in headscale.nodes()}
    answers = {way: every_way.register(way, way) for way in every_way.EVERY}
    hotels = every_way.register("hotel", "openvpn")
    with (
        every_way.connected("phone", "wireguard", answers["wireguard"]) as phone,
        openvpn_client.connected("laptop", answers["openvpn"]["profile"]) as laptop,
        openvpn_client.connected("hotel", lab_world.by_tcp(hotels["profile"])) as hotel,
        ipsec_client.connected("tablet", answers["ipsec"]["profile"]) as tablet,
        tailscale_client.connected("desktop", answers["mesh"], PKI.ca) as desktop,
    ):
        address = mesh_peer.addresses[0]
        wait_for(lambda: desktop.path_to(address) in DIRECT, "a direct path", 20)
        assert not lab_world.passes(desktop, lab_world.INTERNET[0], 1), "by no gateway that it was not told of"
        desktop.tailscale("set", f"--exit-node={lab_world.node_named(headscale, GATEWAY).addresses[0]}")
        native: tuple[TunnelClient, ...] = (phone, laptop, hotel, tablet)
        everything_passes((*native, desktop), mesh_peer)
        now = {node.given_name for node in headscale.nodes()}
        assert now - nodes == {"desktop"}, "Headscale sees no native client"
        for client in native:
            assert not lab_world.passes(client, f"https://{kubernetes()}:443", 1), "nothing of the cluster"

        kube.kubectl("delete", "pod", "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance={every_way.NAME}")
        assert lab_world.passes(desktop, lab_world.urls(mesh_peer)[0], 1), "without any gateway"
        for client in (*native, desktop):
            wait_for(lambda client=client: passes(client), client.name, BACK_S)  # type: ignore[misc]

        for client, way in ((phone, "wireguard"), (laptop, "openvpn"), (tablet, "ipsec")):
            june_app.unregister(ORCHESTRATOR, every_way.device_id(answers[way]))
            assert not passes(client), client.name
        wait_for(lambda: "AUTH_FAILED" in laptop.log.read_text(), "OpenVPN's refusal", 20)
        wait_for(lambda: any(word in tablet.log.read_text() for word in strongswan.REFUSED), "IPsec's refusal", 20)
        june_app.unregister(ORCHESTRATOR, every_way.device_id(answers["mesh"]))
        everywhere = (*lab_world.INTERNET, *lab_world.urls(mesh_peer))
        wait_for(lambda: not any(lab_world.passes(desktop, url, 1) for url in everywhere), "the desktop's end", OUT_S)
        assert not [node for node in headscale.nodes() if node.given_name == "desktop"]
        state = json.loads(desktop.tailscale("status", "--json"))["BackendState"]
        assert state == "Running", "it is not told, so the app ends it (docs/mesh.md)"
        assert lab_world.passes(hotel, everywhere[0], 5), "the others stay"


def test_make_verify_says_of_each_way_that_it_works(ways: Stack) -> None:
    said = life.make_verify(ways)
    for port in (
        "wireguard at udp:{}:31825",
        "openvpn at udp:{}:31194",
        "openvpn at tcp:{}:31443",
        "ipsec at udp:{}:500",
    ):
        assert f"{port.format(CLUSTER.host)}, from here: works" in said
    assert "the way in by the mesh" in said


@pytest.mark.parametrize("program", ["register.sh", "register.py"])
def test_an_apps_example_makes_devices(program: str, ways: Stack, mesh_peer: Node, tmp_path: Path) -> None:
    debian_packages.ensure_for_tests("jq")
    login = tmp_path / "login"
    login.write_text(f"{june_app.USER_HEADER}: {june_app.USER}\n")
    for way in every_way.EVERY:
        run = [] if program.endswith(".sh") else [sys.executable]
        example = paths.REPOSITORY / "examples" / "app" / program
        command = subprocess.run(
            [*run, example, ORCHESTRATOR, way, way, login], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        (file,) = tmp_path.glob(f"{way}.*")
        assert file.name in command
        assert file.stat().st_mode & 0o077 == 0
        with every_way.connected_by_file(f"app-{way}", way, file.read_text(), command) as client:
            url = lab_world.urls(mesh_peer)[0] if way == "mesh" else lab_world.INTERNET[0]
            wait_for(lambda client=client, url=url: lab_world.passes(client, url, 2), way, 20)  # type: ignore[misc]


def test_ways_that_are_given_up_leave_nothing_behind(stack: Stack, ways: Stack, headscale: Headscale) -> None:
    answers = {way: every_way.register(way, way) for way in every_way.EVERY}
    with ExitStack() as connected:
        kept, *others = [
            connected.enter_context(every_way.connected(f"old-{way}", way, answer)) for way, answer in answers.items()
        ]
        every_way.offer(ways, stack, "wireguard")
        assert lab_world.passes(kept, lab_world.INTERNET[0], 20), "with the config that the device has"
        assert not any(passes(client) for client in others)
    assert lab_world.containers(NAMESPACE, GATEWAY) == {"tailscale", "wireguard", "agent"}
    assert not any("Certificate" in resource["type"] for resource in ways.resources())
    assert kube.kubectl("get", "deploy", "-n", NAMESPACE, "-o", "name").split() == [f"deployment.apps/{GATEWAY}"]
    assert not [name for name in kube.environment(JUNE, june.DEPLOYMENT) if name.startswith("MESH_")]
    with pytest.raises(NotFoundError):
        headscale.user(f"meshgate-{every_way.NAME}-devices")


def everything_passes(all_clients: tuple[TunnelClient, ...], mesh_peer: Node) -> None:
    """The mesh and the Internet, IPv4 and IPv6, and 5 MB."""
    for client in all_clients:
        for url in (*lab_world.INTERNET, *lab_world.urls(mesh_peer)):
            assert lab_world.passes(client, url, 10), f"{client.name}: {url}"
        assert client.download(MIB_5) == 5_000_000


def passes(client: TunnelClient) -> bool:
    return lab_world.passes(client, lab_world.INTERNET[0], 2)


def capabilities(container: str) -> int:
    """What a container's first process may do."""
    inside = ("exec", "-n", NAMESPACE, f"deploy/{GATEWAY}", "-c", container, "--")
    status = kube.kubectl(*inside, "cat", "/proc/1/status")
    return int(status.partition("CapEff:\t")[2].split()[0], 16)


def kubernetes() -> str:
    """The API server's address inside the cluster, as a URL has it."""
    service = json.loads(kube.kubectl("get", "service", "kubernetes", "-o", "json"))
    address = str(service["spec"]["clusterIP"])
    return f"[{address}]" if ":" in address else address
