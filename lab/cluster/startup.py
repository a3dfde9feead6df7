"""Bring the cluster to life, part by part; each has its own deadline and its own error.

It leaves alone what runs unchanged. So it also converges a lab that another clone of the work tree
started.
"""

import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from console.errors import StepError
from console.progress import step
from console.waiting import until
from lab import paths
from lab.cluster import kube, node, parts, roles
from lab.cluster.pki import Pki, kubeconfig
from lab.network import topology
from lab.network.addresses import CLUSTER
from lab.processes import supervision

REQUEST_TIMEOUT = 2.0

PKI = Pki(paths.PKI)


@dataclass(frozen=True)
class Check:
    """How to see that a part works: its health endpoint, and how many seconds it may take."""

    part: str
    url: str
    deadline: float


_NODE = CLUSTER.host
STORE = Check("etcd", f"http://{_NODE}:2381/health", 30)
API = Check("kube-apiserver", f"{roles.API_SERVER}/readyz", 90)
REST = (
    Check("kube-controller-manager", f"https://{_NODE}:10257/healthz", 60),
    Check("kube-scheduler", f"https://{_NODE}:10259/healthz", 60),
    Check("kubelet", f"http://{_NODE}:10248/healthz", 60),
    Check("kube-proxy", f"http://{_NODE}:10256/healthz", 60),
    Check("coredns", f"http://{_NODE}:8181/ready", 60),
)
NODE_DEADLINE = 60.0
SUPERVISOR_DEADLINE = 20.0


def up(programs: parts.Programs, pause_image: str, load_images: Callable[[], object]) -> None:
    """Start what does not run yet and wait until all of it works.

    `load_images` puts the lab's images into containerd. No pod runs yet, so that goes on beside all else.
    """
    if not topology.complete():
        node.stop()
    with step("Make the network"):
        topology.up()
    with step("Start the node"):
        PKI.ensure(roles.SUBJECTS)
        _write_kubeconfig()
        all_parts = parts.all_parts(programs, PKI, pause_image, Path(sys.executable))
        node.start(all_parts)
        until(
            supervision.answers,
            deadline=SUPERVISOR_DEADLINE,
            otherwise=lambda: StepError("The node's supervisord does not answer.", node.DAEMON.log),
        )
        names = [part.name for part in all_parts]
        later = [check.part for check in REST]
        for name in names:
            if name not in later:
                supervision.start_part(name)
    with _http() as client, ThreadPoolExecutor(1) as beside:
        with step("Start the API server") as current:
            current.now("etcd")
            wait_for(STORE, client)
            loading = beside.submit(load_images)
            current.now("API")
            wait_for(API, client)
            kube.apply(kube.manifest("cluster"), manager="meshgate-lab")
        with step("Start the node's other parts") as current:
            for name in later:
                supervision.start_part(name)
            for check in REST:
                current.now(check.part)
                wait_for(check, client)
            current.now("")
        with step("Wait for the node to be Ready"):
            until(
                kube.node_ready,
                deadline=NODE_DEADLINE,
                otherwise=lambda: StepError("The node does not become Ready.", paths.LOGS / "kubelet.log"),
            )
        with step("Load the images"):
            loading.result()


def wait_for(check: Check, client: httpx.Client) -> None:
    """Wait until a part is healthy; raise with its log's end when it is not in time, or keeps dying."""
    log = paths.LOGS / f"{check.part}.log"

    def works() -> bool:
        if _healthy(check, client):
            return True
        if supervision.state(check.part) == "FATAL":
            raise StepError(f"{check.part} ends again and again as soon as it is started.", log)
        return False

    until(
        works,
        deadline=check.deadline,
        otherwise=lambda: StepError(f"{check.part} does not work {check.deadline:.0f} s after its start.", log),
    )


def _healthy(check: Check, client: httpx.Client) -> bool:
    try:
        return client.get(check.url).is_success
    except httpx.TransportError:
        return False


def _http() -> httpx.Client:
    trust = ssl.create_default_context(cafile=str(PKI.ca))
    # No proxy of the user's environment stands between the lab and itself.
    return httpx.Client(verify=trust, timeout=REQUEST_TIMEOUT, trust_env=False)


def _write_kubeconfig() -> None:
    """Write the administrator's kubeconfig, readable by its owner alone."""
    content = kubeconfig(PKI, "admin", roles.API_SERVER)
    if paths.KUBECONFIG.exists() and paths.KUBECONFIG.read_text() == content:
        return
    paths.KUBECONFIG.unlink(missing_ok=True)
    paths.KUBECONFIG.touch(mode=0o600)
    paths.KUBECONFIG.write_text(content)
