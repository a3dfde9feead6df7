"""Every part of the node, in one list."""

from dataclasses import dataclass
from pathlib import Path

from lab.cluster.control_plane import etcd, kube_apiserver, kube_controller_manager, kube_scheduler
from lab.cluster.pki import Pki
from lab.cluster.surroundings import http_host, mesh_peer, tls_front
from lab.cluster.worker import containerd, coredns, kube_proxy, kubelet
from lab.network import topology
from lab.processes.supervision import Part


@dataclass(frozen=True)
class Programs:
    """Where the programs are that the lab does not find on PATH."""

    kube: Path
    coredns: Path
    tailscaled: Path


def all_parts(programs: Programs, pki: Pki, pause_image: str, python: Path) -> list[Part]:
    """Return every part, in the order in which they are started."""
    return [
        etcd(),
        containerd(pause_image),
        kube_apiserver(programs.kube, pki),
        kube_controller_manager(programs.kube, pki),
        kube_scheduler(programs.kube, pki),
        kubelet(programs.kube, pki),
        kube_proxy(programs.kube, pki),
        coredns(programs.coredns, pki),
        tls_front(pki),
        mesh_peer(programs.tailscaled, pki),
        http_host("mesh-peer-http", topology.MESH_PEER, python),
        http_host("internet-host", topology.INTERNET, python),
    ]
