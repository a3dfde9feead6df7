"""What two sections of a stack's settings cannot both have: names, ports and networks, each as it really collides."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.settings import hosts, object_names, ways
from infra.settings.value_types import MESH_NETWORKS, IPNetwork, split_endpoint

if TYPE_CHECKING:
    from infra.settings.cluster import ClusterSettings
    from infra.settings.stack import StackSettings


def problems(settings: "StackSettings") -> Iterator[str]:
    """What cannot be, one sentence each."""
    yield from _names(settings)
    yield from _dialled(settings)
    yield from _node_ports(settings)
    yield from _networks(settings)
    yield from _networks_of_the_mesh(settings)


def _names(settings: "StackSettings") -> Iterator[str]:
    names = [gateway.name for gateway in settings.gateways]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        yield f"gateways share the name {', '.join(repeated)}; each needs its own"
    owners: dict[tuple[str, str, str], str] = {}
    for one in object_names.made(settings):
        before = owners.setdefault((one.kind, one.namespace, one.name), one.owner)
        if before != one.owner:
            yield (
                f"{before} and {one.owner} would overwrite each other's {one.kind} {one.namespace}/{one.name}; "
                "give one of them another name"
            )


def _dialled(settings: "StackSettings") -> Iterator[str]:
    """A client dials a host's port of one transport, and an administrator a machine: each is one gateway's."""
    takers: dict[tuple[str, str, int], str] = {}
    machines: list[str] = []
    for index, gateway in enumerate(settings.gateways):
        host, _ = split_endpoint(gateway.endpoint)
        for port in gateway.client_ports:
            what = f"gateways[{index}]: {ways.setting(port)} {port.published}"
            before = takers.setdefault((hosts.same(host), port.transport, port.published), what)
            if before != what:
                yield f"{what} of {host} is also {before}; a client reaches one of them, so use another port or host"
        if gateway.ssh_host:
            machines.append(hosts.same(gateway.ssh_host))
    if repeated := sorted({host for host in machines if machines.count(host) > 1}):
        yield f"gateways share the host {', '.join(repeated)}; each needs its own"


@dataclass(frozen=True)
class _NodePort:
    """A port of the cluster's nodes. Of a HostPort it is that of the pod's own node."""

    setting: str
    port: int
    transport: str
    service: str | None
    """None of a HostPort."""

    def collides(self, other: "_NodePort") -> bool:
        """A cluster gives a node port to one Service, whatever the transport. Pods with one HostPort part by nodes."""
        if self.port != other.port:
            return False
        if self.service and other.service:
            return self.service != other.service
        return self.service != other.service and self.transport == other.transport


def _node_ports(settings: "StackSettings") -> Iterator[str]:
    for one, other in itertools.combinations(_published_on_nodes(settings), 2):
        if one.collides(other):
            yield f"{other.setting} {other.port} is also {one.setting}; a node has each port once, so use another one"


def _published_on_nodes(settings: "StackSettings") -> Iterator[_NodePort]:
    server = settings.headscale
    if server and server.node_port:
        yield _NodePort("headscale.node_port", server.node_port, "tcp", "http")
    if server and server.stun_node_port:
        yield _NodePort("headscale.stun_node_port", server.stun_node_port, "udp", "stun")
    for index, gateway in enumerate(settings.gateways):
        if gateway.target == "kubernetes" and gateway.exposure != "LoadBalancer":
            service = gateway.hostname if gateway.exposure == "NodePort" else None
            for port in gateway.client_ports:
                yield _NodePort(f"gateways[{index}]: {ways.setting(port)}", port.published, port.transport, service)


def _networks(settings: "StackSettings") -> Iterator[str]:
    cluster = _of_the_cluster(settings.cluster)
    clients: list[tuple[str, IPNetwork]] = []
    for index, gateway in enumerate(settings.gateways):
        for network in gateway.client_networks:
            for owner, other in [*(cluster if gateway.target == "kubernetes" else []), *clients]:
                if _overlap(network, other):
                    yield f"gateways[{index}].client_networks {network} overlaps {other} of {owner}; choose a free one"
            clients.append((f"gateways[{index}].client_networks", network))


def _networks_of_the_mesh(settings: "StackSettings") -> Iterator[str]:
    """No pod of the mesh is in a cluster with the mesh's addresses (tailscale's linuxfw: ts-input)."""
    inside = [
        gateway.name for gateway in settings.gateways if gateway.target == "kubernetes" and settings.mesh(gateway)
    ]
    for owner, network in _of_the_cluster(settings.cluster) if inside else ():
        for mesh in MESH_NETWORKS:
            if _overlap(network, mesh):
                yield (
                    f"{owner} {network} overlaps the mesh's {mesh}, and tailscaled drops what comes from there by "
                    f"another way, such as the cluster's DNS; set `mesh: false` for gateway {inside[0]}, or run it on "
                    "a machine outside of such networks (target: metal)"
                )


def _of_the_cluster(cluster: "ClusterSettings") -> list[tuple[str, IPNetwork]]:
    return [
        (f"cluster.{name}", network)
        for name in ("pod_networks", "service_networks", "node_networks")
        for network in getattr(cluster, name)
    ]


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.overlaps(other)
