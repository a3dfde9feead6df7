"""What e2e tests look at and do from outside of the stack: with kubectl, with Headscale's API, with packets."""

import json
from contextlib import suppress
from typing import Any

from console.errors import StepError
from gateway.headscale.client import Headscale
from gateway.headscale.models import Node
from infra import curve25519
from infra.kubernetes import rollout
from infra.kubernetes.client import KubernetesClient
from lab import paths
from lab.cluster import kube
from lab.cluster.startup import PKI
from lab.mesh import june, june_app, peer
from lab.network import topology
from lab.network.addresses import CLUSTER
from lab.network.tunnel_client import TunnelClient
from lab.network.wireguard_client import Client, Config
from tests.deadlines import wait_for

NAMESPACE, GATEWAY = "headscale", "meshgate-lab"
INTERNET = tuple(
    f"http://[{topology.INTERNET_IPV6}]" if ":" in network else f"http://{topology.INTERNET_IPV4}"
    for network in CLUSTER.pods
)
"""The Internet host by each family that pods have."""


def api_key() -> str:
    """The key that our program made for the managed Headscale."""
    key = kube.secret_value(*peer.API_KEY_SECRET)
    assert key is not None, "the stack keeps no API key"
    return key


def headscale() -> Headscale:
    """A client of the lab's Headscale, as it is now: a stack that was destroyed took the last one with it."""
    return peer.headscale(PKI.ca.read_text())


def node_named(headscale: Headscale, name: str) -> Node:
    """The one node of that name."""
    found = [node for node in headscale.nodes() if node.given_name == name]
    assert len(found) == 1, f"{len(found)} nodes are called {name}"
    return found[0]


def urls(node: Node) -> list[str]:
    """Where a node of the mesh serves HTTP, on each of its addresses."""
    return [f"http://[{address}]" if ":" in address else f"http://{address}" for address in node.addresses]


def unregister(public_key: str) -> None:
    """Unregister a device that a test may have unregistered itself."""
    with suppress(StepError):
        june_app.unregister(june.URL, public_key)


def pod(selector: str = f"app.kubernetes.io/instance={GATEWAY.removeprefix('meshgate-')}") -> dict[str, Any]:
    """The gateway's one pod."""
    pods: list[dict[str, Any]] = json.loads(kube.kubectl("get", "pods", "-n", NAMESPACE, "-l", selector, "-o", "json"))[
        "items"
    ]
    assert len(pods) == 1, [pod["metadata"]["name"] for pod in pods]
    return pods[0]


def wait_until_rolled_out(namespace: str, deadline: float = 120) -> None:
    """Wait until each Deployment of a namespace runs what was last asked for, and no former pod is left.

    The end of a `pulumi up` does not say so: the official Kubernetes plugin answers some updates at once.
    """
    with KubernetesClient(None, str(paths.KUBECONFIG)) as cluster:
        for deployment in kube.kubectl("get", "deployments", "-n", namespace, "-o", "name").split():
            unfinished = rollout.wait(cluster, namespace, deployment.rpartition("/")[2], deadline)
            assert not unfinished, f"{deployment} in {namespace}: {unfinished}"
    wait_for(lambda: not _ending_pods(namespace), "the end of old pods", within=deadline)


def _ending_pods(namespace: str) -> list[str]:
    pods = json.loads(kube.kubectl("get", "pods", "-n", namespace, "-o", "json"))["items"]
    return [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" in pod["metadata"]]


def in_gateway(container: str, *command: str) -> str:
    """Run a command in a container of the gateway's pod."""
    return kube.kubectl("exec", "-n", NAMESPACE, f"deploy/{GATEWAY}", "-c", container, "--", *command)


def metric(name: str) -> float:
    """One of the gateway's metrics, without labels."""
    ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8081/metrics').read().decode())"
    told = in_gateway("agent", "python3", "-c", ask).splitlines()
    (value,) = [line.removeprefix(f"{name} ") for line in told if line.startswith(f"{name} ")]
    return float(value)


def tokens() -> list[str]:
    """The tokens of the peer API that are good now."""
    lines = in_gateway("agent", "cat", "/etc/meshgate/tokens").splitlines()
    assert lines
    return [line.split()[1] for line in lines]


def orchestrator_env() -> dict[str, Any]:
    """The env of the orchestrator's container: name to value, or to the reference it has instead."""
    deployment = json.loads(kube.kubectl("get", "deploy", "-n", "june-services", "june-orchestrator", "-o", "json"))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", one.get("valueFrom")) for one in container["env"]}


_CALL = """
import json, sys, urllib.request
token = next(line.split()[1] for line in open("/etc/meshgate/tokens") if line.startswith("register"))
headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
method, path, body = sys.argv[1:]
request = urllib.request.Request("http://127.0.0.1:8080" + path, body.encode() or None, headers, method=method)
print(urllib.request.urlopen(request).read().decode())
"""


def let_in_by_hand(namespace: str, deployment: str) -> Config:
    """A config for a device that the operator lets in from within the gateway's pod."""
    private_key = curve25519.generate_private_key()
    body = {"public_key": curve25519.public_key(private_key)}
    return Config.from_peer(private_key, json.loads(call_by_hand(namespace, deployment, "POST", "/v1/peers", body)))


def call_by_hand(namespace: str, deployment: str, method: str, path: str, body: object = None) -> str:
    """What the peer API answers the operator within the gateway's pod."""
    agent = ("exec", "-n", namespace, f"deploy/{deployment}", "-c", "agent", "--")
    return kube.kubectl(*agent, "python3", "-c", _CALL, method, path, json.dumps(body) if body else "")


def containers(namespace: str, deployment: str) -> set[str]:
    """The containers of a Deployment."""
    names = "{.spec.template.spec.containers[*].name}"
    return set(kube.kubectl("get", "deploy", "-n", namespace, deployment, "-o", f"jsonpath={names}").split())


def by_tcp(profile: str) -> str:
    """An OpenVPN profile that leads there by TCP alone."""
    return "".join(f"{line}\n" for line in profile.splitlines() if not line.endswith(" udp"))


def move(client: Client, old_key: str, new_key: str, endpoint: str) -> None:
    """Let a client with a running tunnel take up another key of its gateway, as an app does."""
    everything = ",".join(("0.0.0.0/0", "::/0"))
    client.set_peer(
        *("peer", old_key, "remove", "peer", new_key, "endpoint", endpoint),
        *("allowed-ips", everything, "persistent-keepalive", "25"),
    )


def passes(client: TunnelClient, url: str, seconds: float = 1) -> bool:
    """Whether a page comes through the tunnel."""
    try:
        client.fetch(url, seconds)
    except StepError:
        return False
    return True
