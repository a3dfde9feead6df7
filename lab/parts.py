"""Every part of the node, in one list."""

from dataclasses import dataclass
from pathlib import Path

from lab import network
from lab.control_plane import etcd, kube_apiserver, kube_controller_manager, kube_scheduler
from lab.pki import Pki
from lab.supervision import Part
from lab.surroundings import http_host, mesh_peer, tls_front
from lab.worker import containerd, coredns, kube_proxy, kubelet


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
        http_host("mesh-peer-http", network.PEER, python),
        http_host("internet-host", network.INTERNET, python),
    ]
