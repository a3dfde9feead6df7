"""Settings of the stack `lab`: the committed ones, and what only this machine knows."""

from dataclasses import dataclass
from typing import Any

import yaml

from console import project
from lab.network.addresses import CLUSTER
from lab.pulumi.stack import PREFIX


@dataclass(frozen=True)
class Facts:
    """What only this machine knows of the lab's stack."""

    ca_certificate: str
    gateway_image: str
    tailscale_image: str
    headscale_image: str


def complete(facts: Facts) -> dict[str, Any]:
    """Return the stack's settings (as in infra/settings) with this machine's facts."""
    committed = yaml.safe_load(project.stack_file(project.LAB).read_text())["config"]
    settings = {key.removeprefix(PREFIX): value for key, value in committed.items()}
    images = {"image": facts.gateway_image, "tailscale_image": facts.tailscale_image}
    own = settings | {
        "headscale": settings["headscale"] | {"ca_certificate": facts.ca_certificate, "image": facts.headscale_image},
        "gateways": [
            gateway | ({} if gateway.get("target") == "metal" else images) for gateway in settings["gateways"]
        ],
    }
    return own if ":" not in CLUSTER.node else _of_ipv6(own)


def _of_ipv6(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings where the node is known and dialled by IPv6 alone."""
    cluster = {name: [one for one in networks if ":" in one] for name, networks in settings["cluster"].items()}
    (gateway,) = settings["gateways"]
    port = gateway["endpoint"].rpartition(":")[2]
    return settings | {
        "cluster": cluster,
        "headscale": settings["headscale"] | {"url": f"https://{CLUSTER.host}"},
        "gateways": [gateway | {"endpoint": f"{CLUSTER.host}:{port}"}],
    }
