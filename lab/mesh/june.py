"""June's orchestrator as a user has it: brought in before our program, and not by it."""

from lab.cluster import kube
from lab.mesh import june_app
from lab.network.addresses import CLUSTER

NAMESPACE, DEPLOYMENT = "june-services", "june-orchestrator"
NODE_PORT = 30880
URL = f"http://{CLUSTER.host}:{NODE_PORT}"
"""Where the lab's clients reach the orchestrator."""

VARIABLES = ("HEADSCALE_SERVER_PUBLIC_KEY", "HEADSCALE_SERVER_ENDPOINT", "GATEWAY_PEERS_URL", "GATEWAY_PEERS_TOKEN")
"""What the stack adds to the orchestrator's env (docs/june.md)."""

FIELD_MANAGER = "helm"
"""Who owns June's objects in a user's cluster: its chart was installed by Helm."""

ROLLOUT_DEADLINE = 90.0


def lacks() -> list[str]:
    """Return the variables that the stack adds and that the orchestrator does not have."""
    environment = kube.environment(NAMESPACE, DEPLOYMENT)
    return [name for name in VARIABLES if name not in environment]


def apply(image: str, namespace: str = NAMESPACE, node_port: int = NODE_PORT) -> None:
    """Install June's orchestrator, or update it; `wait` tells when it serves."""
    values = {
        "image": image,
        "headscale_url": f"https://{CLUSTER.host}",
        "node_port": str(node_port),
        "user_header": june_app.USER_HEADER,
        "namespace": namespace,
        "deployment": DEPLOYMENT,
    }
    kube.apply(kube.manifest("june", values), manager=FIELD_MANAGER)


def wait(namespace: str = NAMESPACE) -> None:
    """Wait until the orchestrator serves, with what the stack gave it."""
    kube.wait_for_rollout(namespace, DEPLOYMENT, ROLLOUT_DEADLINE)
