"""Who reaches what through a gateway, class of address by class, each beside a control without the firewall.

The client's link is a plain one here: which packets come out of WireGuard is another test's. Sockets listen on every
destination, and none is ever accepted: the kernel's own handshake shows that the packet arrived.
"""

import contextlib
import select
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.agent.closed_networks import CLOSED, CLOSED_NETWORKS
from gateway.agent.firewall_rules import rules
from gateway.agent.pool import Network
from gateway.agent.value_types import Address
from tests.contract.agent.namespaces import Namespace, in_namespace
from tests.contract.agent.test_firewall import made

LISTEN_PORT, HTTP_PORT, HEALTH_PORT, PROBE_PORT = 51820, 8080, 9002, 8081
API_SERVER, KUBELET, NODE_PORT = 6443, 10250, 30080
PORTS = (22, 53, 80, 443, HTTP_PORT, PROBE_PORT, HEALTH_PORT, API_SERVER, KUBELET, NODE_PORT)
UDP_PORTS = (53, 443, LISTEN_PORT)
ARRIVES_WITHIN_S = 10.0
LATE_S = 0.5
"""How long a packet may still come after the last of those that must."""

CLIENT, MESH, POD, PLACE = "client", "mesh node", "pod", "outside"
ADDRESSES = {
    CLIENT: ("10.77.0.5", "fd77::5"),
    MESH: ("100.64.0.2", "fd7a:115c:a1e0::2"),
    POD: ("10.244.0.9", "2001:db8:44::9"),
}
GATEWAY = {
    CLIENT: ("10.77.0.1", "fd77::1"),
    MESH: ("100.64.0.1", "fd7a:115c:a1e0::1"),
    POD: ("10.244.0.1", "2001:db8:44::1"),
}
NODE, OTHER_NODE = ("198.51.100.10", "2001:db8:100::10"), ("203.0.113.7", "2001:db8:200::7")
INTERNET = ("192.0.2.1", "2001:db8::1")
GLOBAL_POD, SERVICE = ("192.0.2.130", "2001:db8:44::55"), ("34.118.224.1", "fd96::1")
ALLOWED, BLOCKED = ("10.50.0.7", "fd50::7"), ("192.0.2.66", "2001:db8:66::7")
BLOCKED_IN_MESH = ("100.99.0.7", "fd7a:115c:a1e0:99::7")
RESOLVER = ("10.96.0.10", "fd96::a")
CLOUDS = {
    "metadata": ("169.254.169.254", "fd00:ec2::254"),
    "metadata, Google Cloud": ("169.254.169.254", "fd20:ce::254"),
    "metadata, Oracle Cloud": ("192.0.0.192", "fd00:c1::a9fe:a9fe"),
    "metadata, Alibaba Cloud": ("100.100.100.200", "64:ff9b::6464:64c8"),
    "platform, Azure": ("168.63.129.16", "64:ff9b::a83f:8110"),
    "node-local DNS": ("169.254.20.10", "64:ff9b:1::a9fe:140a"),
}
PROTOCOL_ONLY = ("127.0.0.0/8", "224.0.0.0/4", "ff00::/8", "fe80::/10", "::ffff:0:0/96")
"""No kernel sends these to a gateway: nothing can be dialled in them to show that it would arrive."""
MACHINE, API_SERVICE = "192.0.2.20", "10.96.0.1"
PUBLISHED = f"""
table ip published {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {MACHINE} tcp dport {{ 443, {NODE_PORT} }} dnat to {SERVICE[0]}:80
        ip daddr {API_SERVICE} tcp dport 443 dnat to {NODE[0]}:{API_SERVER}
    }}
}}
"""
"""A port of the machine leads to a container, a Service's address to the API server."""
SETTINGS = {
    "node_addresses": ",".join(NODE),
    "node_networks": "203.0.113.0/24,2001:db8:200::/64",
    "closed_networks": "192.0.2.128/25,2001:db8:44::/64",
    "allow_networks": "10.50.0.0/24,fd50::/64,198.51.100.0/24",
    "block_networks": "192.0.2.64/26,2001:db8:66::/64,100.99.0.0/16,fd7a:115c:a1e0:99::/64",
    "node_ports": "80,443",
    "dns": ",".join(RESOLVER),
    "mesh_interface": "mesh",
    "interface": "wg",
}
MACHINE_SETTINGS = {"mesh_interface": "mesh", "interface": "wg", "node_ports": "80,443"}
"""On bare metal nobody names addresses: the machine's own are the ones that end at it."""


@dataclass(frozen=True)
class Way:
    """One attempt: who, where to, and whether it arrives."""

    source: str
    what: str
    address: str
    port: int
    arrives: bool
    protocol: str = "tcp"


def ways() -> Iterator[Way]:
    """Every class of address, IPv4 and IPv6."""
    for source in (CLIENT, MESH):
        yield from both(source, "Internet", INTERNET, (80, 443, API_SERVER, NODE_PORT), arrives=True)
        yield from both(source, "Internet", INTERNET, (443,), arrives=True, protocol="udp")
        for what, node in {"the node": NODE, "another node": OTHER_NODE}.items():
            yield from both(source, what, node, (80, 443), arrives=True)
            yield from both(source, what, node, (22, API_SERVER, KUBELET, NODE_PORT), arrives=False)
            yield from both(source, what, node, (53, 443), arrives=False, protocol="udp")
        for what, cloud in CLOUDS.items():
            yield from both(source, what, cloud, (53, 80, 443), arrives=False)
        for entry in CLOSED:
            for network in entry.networks:
                if str(network) not in PROTOCOL_ONLY:
                    yield Way(source, entry.why, str(inside(network)), 443, arrives=False)
        yield from both(source, "a pod with a global address", GLOBAL_POD, (80, 443), arrives=False)
        yield from both(source, "a Service", SERVICE, (80, 443), arrives=False)
        yield from both(source, "an allowed network", ALLOWED, (22, 80, NODE_PORT), arrives=True)
        yield from both(source, "a blocked network", BLOCKED, (80, 443), arrives=False)
        yield from both(source, "the gateway", GATEWAY[source], PORTS, arrives=False)
        yield from both(source, "the gateway's pod", GATEWAY[POD], (HTTP_PORT, PROBE_PORT, 22), arrives=False)
    yield from both(CLIENT, "the resolver", RESOLVER, (53,), arrives=True)
    yield from both(CLIENT, "the resolver", RESOLVER, (53,), arrives=True, protocol="udp")
    yield from both(CLIENT, "the resolver", RESOLVER, (80,), arrives=False)
    yield from both(CLIENT, "the mesh", ADDRESSES[MESH], PORTS, arrives=True)
    yield from both(CLIENT, "a blocked part of the mesh", BLOCKED_IN_MESH, (80,), arrives=False)
    yield from both(CLIENT, "the gateway in the mesh", GATEWAY[MESH], PORTS, arrives=False)
    yield from both(
        CLIENT, "WireGuard inside WireGuard", GATEWAY[CLIENT], (LISTEN_PORT,), arrives=False, protocol="udp"
    )
    yield from both(MESH, "WireGuard", GATEWAY[MESH], (LISTEN_PORT,), arrives=True, protocol="udp")
    yield from both(MESH, "the gateway", GATEWAY[MESH], (53,), arrives=False, protocol="udp")
    yield from both(MESH, "a client", ADDRESSES[CLIENT], (22, 80), arrives=False)
    yield from both(POD, "a client", ADDRESSES[CLIENT], (22, 80), arrives=False)
    yield from both(POD, "the mesh", ADDRESSES[MESH], (22, 80), arrives=False)
    # The cluster's own way to the API is a NetworkPolicy's.
    yield from both(POD, "the gateway's pod", GATEWAY[POD], (HTTP_PORT, PROBE_PORT, HEALTH_PORT), arrives=True)
    yield from both(POD, "WireGuard", GATEWAY[POD], (LISTEN_PORT,), arrives=True, protocol="udp")


def inside(network: Network) -> Address:
    """An address of it that no link here has for a neighbour."""
    return network[min(0x20013, network.num_addresses - 1)]


def both(
    source: str, what: str, addresses: tuple[str, str], ports: Iterable[int], arrives: bool, protocol: str = "tcp"
) -> Iterator[Way]:
    """IPv4 and IPv6, port by port."""
    for address in addresses:
        for port in ports:
            yield Way(source, what, address, port, arrives, protocol)


class Crossing:
    """Namespaces around a gateway whose only program is nft: client, mesh node, and a pod with all that is outside."""

    def __init__(self, ends: contextlib.ExitStack) -> None:
        self._ends = ends
        self.gateway = self._namespace("gw")
        self.namespaces = {CLIENT: self._namespace("cl"), MESH: self._namespace("ms"), POD: self._namespace("pod")}
        self.receivers: list[socket.socket] = []
        every = (self.gateway, *self.namespaces.values())
        for link, source in {"wg": CLIENT, "mesh": MESH, "pod": POD}.items():
            self._connect(link, source)
        for namespace in every:
            namespace.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
            namespace.run("sysctl", "-qw", *(f"net.ipv4.conf.{name}.rp_filter=0" for name in self._links(namespace)))
        self.gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.give(MESH, BLOCKED_IN_MESH)
        self.give(POD, {way.address for way in ways()} - self._known())
        for address in ADDRESSES[POD]:
            self.gateway.run("ip", "route", "add", "default", "via", address)
        for namespace in every:
            self._listen(namespace)

    def _namespace(self, name: str) -> Namespace:
        namespace = Namespace(name)
        self._ends.callback(namespace.delete)
        return namespace

    def _connect(self, link: str, source: str) -> None:
        there = self.namespaces[source]
        self.gateway.run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", there.name)
        for namespace, name, addresses in ((self.gateway, link, GATEWAY[source]), (there, "eth0", ADDRESSES[source])):
            namespace.run("ip", "link", "set", name, "up")
            for address, length in zip(addresses, (16, 64), strict=True):
                namespace.run("ip", "address", "add", f"{address}/{length}", "dev", name, *_nodad(address))
        for address in GATEWAY[source]:
            there.run("ip", "route", "add", "default", "via", address)

    @staticmethod
    def _links(namespace: Namespace) -> list[str]:
        return namespace.run("ls", "/proc/sys/net/ipv4/conf").split()

    @staticmethod
    def _known() -> set[str]:
        return {*BLOCKED_IN_MESH, *(one for pairs in (ADDRESSES, GATEWAY) for pair in pairs.values() for one in pair)}

    def give(self, place: str, addresses: Iterable[str]) -> None:
        """Put addresses behind a link."""
        link = {MESH: "mesh", POD: "pod"}[place]
        for address in addresses:
            via = ADDRESSES[place][ip_address(address).version == 6]
            self.namespaces[place].run("ip", "address", "add", address, "dev", "lo", *_nodad(address))
            self.gateway.run("ip", "route", "replace", address, "via", via, "dev", link)

    def _listen(self, namespace: Namespace) -> None:
        with in_namespace(namespace.name):
            for port in PORTS:
                self._ends.enter_context(
                    socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
                )
            for port in UDP_PORTS:
                receiver = self._ends.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
                receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                receiver.bind(("::", port))
                receiver.setblocking(False)
                self.receivers.append(receiver)

    def arrived(self, attempts: list[Way], awaited: set[Way]) -> set[Way]:
        """Which attempts get through, until all that are awaited did and a moment more."""
        found: set[Way] = set()
        with contextlib.ExitStack() as stack:
            poll, dialling = select.poll(), {}
            receivers = {one.fileno(): one for one in self.receivers}
            for receiver in self.receivers:
                poll.register(receiver, select.POLLIN)
            for number, way in enumerate(attempts):
                one = stack.enter_context(self._dialled(way, number))
                if way.protocol == "tcp":
                    dialling[one.fileno()] = (one, way)
                    poll.register(one, select.POLLOUT)
            end, late = time.monotonic() + ARRIVES_WITHIN_S, False
            while len(found) < len(attempts):
                if found >= awaited and not late:
                    end, late = time.monotonic() + LATE_S, True
                if (left := end - time.monotonic()) <= 0:
                    break
                for descriptor, _ in poll.poll(left * 1000):
                    if descriptor in receivers:
                        found.add(attempts[int(receivers[descriptor].recv(64))])
                        continue
                    one, way = dialling[descriptor]
                    poll.unregister(one)
                    if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                        found.add(way)
        return found

    def _dialled(self, way: Way, number: int) -> socket.socket:
        kind = socket.SOCK_STREAM if way.protocol == "tcp" else socket.SOCK_DGRAM
        with in_namespace(self.namespaces[way.source].name):
            one = socket.socket(socket.AF_INET6 if ":" in way.address else socket.AF_INET, kind)
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect((way.address, way.port))
        if way.protocol == "udp":
            one.send(str(number).encode())
        return one

    def pings(self, source: str, address: str) -> bool:
        return self.namespaces[source].tried("ping", "-n", "-c1", "-W1", address).returncode == 0


def _nodad(address: str) -> list[str]:
    return ["nodad"] if ":" in address else []


@pytest.fixture(scope="module")
def crossing() -> Iterator[Crossing]:
    with contextlib.ExitStack() as ends:
        yield Crossing(ends)


def test_everybody_reaches_what_is_theirs_and_nothing_else(crossing: Crossing, tmp_path: Path) -> None:
    attempts = list(dict.fromkeys(ways()))
    crossing.gateway.run("nft", "flush", "ruleset")
    assert set(attempts) - crossing.arrived(attempts, set(attempts)) == set(), "without the firewall all arrive"
    crossing.gateway.run("nft", "-f", "-", stdin=rules(made(tmp_path, **SETTINGS)))
    wanted = {way for way in attempts if way.arrives}
    found = crossing.arrived(attempts, wanted)
    assert (wanted - found, found - wanted) == (set(), set())


def test_clients_leave_for_allowed_ips_alone_whatever_their_config_says(crossing: Crossing, tmp_path: Path) -> None:
    attempts = [
        *both(CLIENT, "an allowed network", ALLOWED, (80,), arrives=True),
        *both(CLIENT, "the Internet", INTERNET, (80,), arrives=False),
        Way(CLIENT, "the mesh's IPv4", ADDRESSES[MESH][0], 80, arrives=True),
        Way(CLIENT, "the mesh's IPv6", ADDRESSES[MESH][1], 80, arrives=False),
        *both(MESH, "the Internet by the exit node", INTERNET, (80,), arrives=True),
    ]
    narrow = SETTINGS | {"allowed_ips": "10.50.0.0/24,fd50::/64,100.64.0.0/10"}
    crossing.gateway.run("nft", "flush", "ruleset")
    assert crossing.arrived(attempts, set(attempts)) == set(attempts), "without the firewall all arrive"
    crossing.gateway.run("nft", "-f", "-", stdin=rules(made(tmp_path, **narrow)))
    wanted = {way for way in attempts if way.arrives}
    assert crossing.arrived(attempts, wanted) == wanted


def test_ipv4_alone_in_allowed_ips_closes_ipv6(crossing: Crossing, tmp_path: Path) -> None:
    attempts = [Way(CLIENT, "the Internet", address, 443, arrives=":" not in address) for address in INTERNET]
    crossing.gateway.run("nft", "flush", "ruleset")
    crossing.gateway.run("nft", "-f", "-", stdin=rules(made(tmp_path, **SETTINGS | {"allowed_ips": "0.0.0.0/0"})))
    wanted = {way for way in attempts if way.arrives}
    assert crossing.arrived(attempts, wanted) == wanted


def test_a_machines_published_port_is_judged_by_what_was_dialled(crossing: Crossing, tmp_path: Path) -> None:
    """Containers publish ports by translating addresses, kube-proxy Services and NodePorts."""
    crossing.gateway.run("nft", "flush", "ruleset")
    crossing.gateway.run("nft", "-f", "-", stdin=PUBLISHED)
    attempts = [
        Way(CLIENT, "a published port", MACHINE, 443, arrives=True),
        Way(CLIENT, "a published port", MACHINE, NODE_PORT, arrives=False),
        Way(CLIENT, "the API server's Service", API_SERVICE, 443, arrives=False),
    ]
    assert crossing.arrived(attempts, set(attempts)) == set(attempts), "without the firewall all arrive"
    crossing.gateway.run("nft", "-f", "-", stdin=rules(made(tmp_path, **MACHINE_SETTINGS)))
    wanted = {way for way in attempts if way.arrives}
    assert crossing.arrived(attempts, wanted) == wanted


def test_a_machines_own_addresses_answer_at_the_open_ports_alone(crossing: Crossing, tmp_path: Path) -> None:
    """On bare metal the app's API may be on the gateway's machine, beside the peer API."""
    attempts = [
        *both(CLIENT, "the machine", GATEWAY[POD], (80, 443), arrives=True),
        *both(CLIENT, "the machine", GATEWAY[POD], (22, HTTP_PORT, HEALTH_PORT, PROBE_PORT), arrives=False),
        *both(CLIENT, "the gateway in the mesh", GATEWAY[MESH], (80, 443), arrives=False),
        *both(CLIENT, "the gateway in the tunnel", GATEWAY[CLIENT], (80, 443), arrives=False),
        *both(MESH, "the gateway in the mesh", GATEWAY[MESH], (22, 80, 443), arrives=False),
    ]
    settings = made(tmp_path, **MACHINE_SETTINGS)
    crossing.gateway.run("nft", "flush", "ruleset")
    assert crossing.arrived(attempts, set(attempts)) == set(attempts), "without the firewall all arrive"
    crossing.gateway.run("nft", "-f", "-", stdin=rules(settings))
    wanted = {way for way in attempts if way.arrives}
    assert crossing.arrived(attempts, wanted) == wanted
    crossing.gateway.run("nft", "-f", "-", stdin=rules(made(tmp_path, **MACHINE_SETTINGS | {"http_port": "443"})))
    api = [Way(CLIENT, "the peer API", address, 443, arrives=False) for address in GATEWAY[POD]]
    assert crossing.arrived(api, set()) == set()


@pytest.mark.parametrize("source", [CLIENT, MESH])
def test_the_gateway_answers_pings(crossing: Crossing, tmp_path: Path, source: str) -> None:
    crossing.gateway.run("nft", "-f", "-", stdin=rules(made(tmp_path, **SETTINGS)))
    assert all(crossing.pings(source, address) for address in GATEWAY[source])


def test_every_closed_network_is_in_the_table(crossing: Crossing, tmp_path: Path) -> None:
    """Those too that no kernel sends to a gateway."""
    crossing.gateway.run("nft", "-f", "-", stdin=rules(made(tmp_path)))
    for network in CLOSED_NETWORKS:
        for address in (network[0], network[-1]):
            crossing.gateway.run(
                "nft", "get", "element", "inet", "meshgate", f"closed{network.version}", f"{{ {address} }}"
            )
