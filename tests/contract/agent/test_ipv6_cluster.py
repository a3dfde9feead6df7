"""A cluster of IPv6 alone: its API server takes every object, and the pod that it keeps lets devices in by IPv6.

The pod has IPv4 addresses on loopback and in the mesh, as every pod of such a cluster.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes.client import AppsV1Api, CoreV1Api, NetworkingV1Api

from infra import certificate_authority
from infra.settings.client_ports import OPENVPN_PORT
from tests.contract.agent import certified, ipsec_gateway, openvpn_gateway
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.pod import Pod
from tests.contract.agent.tailscaled import answering
from tests.contract.agent.world import FAR_6, LISTEN_PORT, MESH_4, MESH_6, PROBE_PORT, TOKEN, Client, World
from tests.contract.apiserver import ApiServer, api_server
from tests.contract.test_pods import applied
from tests.deadlines import wait_for
from tests.e2e.lab_world import by_tcp
from tests.unit import test_program
from tests.unit.agent.fakes import key_pair
from tests.unit.test_program import CONFIG, declare, sdks_event_loops

pytestmark = [
    pytest.mark.timeout(900),  # the first run on a machine builds the API server
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.usefixtures(sdks_event_loops.__name__),  # as in tests/unit/test_program.py
]

NAMESPACE = "headscale"
PODS, SERVICES = "2001:db8:44::/64", "fd96::/112"
NODE, POD = "2001:db8:44::1", "2001:db8:44::5"
OUTSIDE, DEVICE = "2001:db8:77::1", "2001:db8:77::2"
"""Where devices dial the node, and one of them."""
FIELDS = {"status.podIP": POD, "status.podIPs": POD, "status.hostIPs": NODE}
SETTINGS: dict[str, Any] = {
    "cluster": {"pod_networks": [PODS], "service_networks": [SERVICES]},
    "headscale": CONFIG["headscale"] | {"node_port": 30080, "stun_node_port": 30478},
    "access": ["mesh"],
    "orchestrator": {},
    "gateways": [
        {
            "name": "one",
            "endpoint": f"[{OUTSIDE}]:{LISTEN_PORT}",
            "exposure": "LoadBalancer",
            "client_networks": ["10.77.0.0/24", "fd77::/64"],
            "access": ["wireguard", "openvpn", "ipsec"],
            "openvpn": {"udp_port": OPENVPN_PORT, "tcp_port": OPENVPN_PORT},
            "api_from": [{"network": "fd00:5::/64"}],
        }
    ],
}


class PodOfIPv6(World):
    """The gateway is a pod, its neighbour the node, and devices are outside of the cluster."""

    HOST, API_HOST = f"[{OUTSIDE}]", f"[{POD}]"

    def _links(self) -> list[tuple[Namespace, str, *tuple[str, ...]]]:
        return [
            (self.gateway, "lan", f"{POD}/64", f"{OUTSIDE}/64"),
            (self.neighbour, "lan", f"{NODE}/64"),
            (self.client, "lan", f"{DEVICE}/64"),
            (self.gateway, "mesh", "100.64.0.1/10", "fd7a:115c:a1e0::1/48"),
            (self.far, "mesh", f"{MESH_4}/10", f"{MESH_6}/48"),
            (self.gateway, "inet", "2001:db8:100::1/64"),
            (self.far, "inet", f"{FAR_6}/64"),
        ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that keeps all that the program declares."""
    with api_server(tmp_path_factory.mktemp("apiserver"), SERVICES) as server, pytest.MonkeyPatch.context() as patched:
        for kind, values in learned().items():
            patched.setitem(test_program.LEARNED, kind, values)
        list(applied(server, asyncio.run(declare(**SETTINGS))))
        yield server


def learned() -> dict[str, dict[str, Any]]:
    """Keys and certificates that a gateway can work with."""
    keys, ca = key_pair(), certificate_authority.make("a CA for tests")
    issuing = certificate_authority.issuing(ca, "a gateway's")
    return {
        "WireGuardKey": {"private_key": keys.private, "public_key": keys.public},
        "Token": {
            "value": "the-orchestrators-token",
            "previous": "",
            "next": "the-orchestrators-next-token",
            "admin": TOKEN,
        },
        "IssuingCertificate": {"chain": issuing.certificate + ca.certificate, "key": issuing.key},
    }


@pytest.fixture
def world(tmp_path: Path, wireguard_go: str) -> Iterator[PodOfIPv6]:
    world = PodOfIPv6(tmp_path, wireguard_go)
    world.asking = world.neighbour
    try:
        yield world
    finally:
        world.delete()


def test_every_service_has_an_address_of_ipv6(cluster: ApiServer) -> None:
    core: Any = CoreV1Api(cluster.api)
    services = core.list_namespaced_service(NAMESPACE).items
    assert len(services) == 5
    for service in services:
        assert service.spec.ip_families == ["IPv6"], service.metadata.name
        assert ip_address(service.spec.cluster_ip) in ip_network(SERVICES)


def test_who_may_call_the_api_may_be_a_network_of_ipv6(cluster: ApiServer) -> None:
    network: Any = NetworkingV1Api(cluster.api)
    policy = network.read_namespaced_network_policy("meshgate-one", NAMESPACE)
    callers = [peer for rule in policy.spec.ingress for peer in rule._from or ()]
    assert [peer.ip_block.cidr for peer in callers if peer.ip_block] == ["fd00:5::/64"]


@pytest.fixture
def volumes() -> Iterator[Path]:
    """A place with a short name: a socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="pod-") as directory:
        yield Path(directory)


def test_devices_come_in_by_each_way_and_the_pod_is_asked_by_ipv6_alone(
    cluster: ApiServer, world: PodOfIPv6, volumes: Path
) -> None:
    core, apps = CoreV1Api(cluster.api), AppsV1Api(cluster.api)
    deployment: Any = apps.read_namespaced_deployment("meshgate-one", NAMESPACE)
    pod = Pod(core, deployment.spec.template.spec, NAMESPACE, volumes, FIELDS)
    names = {"MESHGATE_INTERFACE": world.interface, "MESHGATE_MESH_INTERFACE": "mesh"}
    tailscaled = Path(pod.environment("agent")["MESHGATE_TAILSCALE_SOCKET"])
    with answering(tailscaled, "Running"), pod.running(world, names, "wireguard", "openvpn", "ipsec", "agent"):
        for kind in ("startup", "liveness", "readiness"):
            path, port = pod.probe(kind)
            assert port == PROBE_PORT
            wait_for(partial(succeeds, world, path), f"the {kind} probe", within=20)
        assert "meshgate_peers 0.0" in world.probe("/metrics").text
        with world.new_client() as client:
            client.configure(world.register(client.keys.public))
            passes(client)
        profile = certified.register(world, "openvpn")["profile"]
        for given in (profile, by_tcp(profile)):
            with openvpn_gateway.connected(world, given) as openvpn:
                openvpn.comes_up()
                passes(openvpn)
        with ipsec_gateway.connected(world, certified.register(world, "ipsec")["profile"]) as ipsec:
            ipsec.comes_up()
            passes(ipsec)


def succeeds(world: World, path: str) -> bool:
    with suppress(httpx.TransportError):
        return world.probe(path).is_success
    return False


def passes(client: Client | openvpn_gateway.OpenVpnClient | ipsec_gateway.IpSecClient) -> None:
    """It reaches the mesh by both, the Internet by IPv6, and nothing of the cluster."""
    for address in (MESH_4, MESH_6, FAR_6):
        wait_for(partial(client.reaches, address), f"an answer of {address}")
    assert not client.reaches(NODE)
