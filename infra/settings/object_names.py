"""The names of what a stack makes in its cluster. Two things of one kind and name would overwrite each other.

The tests hold this list to what the program declares.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings.gateway import GatewaySettings
    from infra.settings.headscale import HeadscaleSettings
    from infra.settings.stack import StackSettings

KEY_SERVICE = "meshgate-keys"
HEADSCALE = "headscale"
INGRESS_SECRET = "headscale-tls"  # noqa: S105 (a name)
"""The certificate of a managed server's Ingress, where the settings give it."""
API_KEY_SECRET = "headscale-api-key"  # noqa: S105 (a name)
"""The Secret that is a managed server's API key's only home."""
TOKEN_SECRET = "meshgate-gateway"  # noqa: S105 (a name)
"""What the orchestrator's env refers to, in its namespace."""


def peers(hostname: str) -> str:
    """The Service of a gateway's peer API."""
    return f"{hostname}-peers"


@dataclass(frozen=True)
class MadeObject:
    """An object of the cluster, and whose it is."""

    kind: str
    namespace: str
    name: str
    owner: str


def made(settings: "StackSettings") -> Iterator[MadeObject]:
    """All that the stack may make, and what the settings name of others where it makes things."""
    for gateway in settings.gateways:
        if gateway.target == "kubernetes":
            for kind, name in _of_a_gateway(gateway):
                yield MadeObject(kind, settings.namespace, name, f"gateway {gateway.name}")
    if settings.access:
        for kind in ("ConfigMap", "Deployment", "NetworkPolicy", "Secret", "Service"):
            yield MadeObject(kind, settings.namespace, KEY_SERVICE, "the key service of `access`")
    if settings.headscale and settings.headscale.managed:
        for kind, name, owner in _of_a_server(settings.headscale):
            yield MadeObject(kind, settings.namespace, name, owner)
    if orchestrator := settings.orchestrator:
        yield MadeObject("Secret", orchestrator.namespace, TOKEN_SECRET, "the orchestrator's tokens")
        yield MadeObject("Deployment", orchestrator.namespace, orchestrator.deployment, "orchestrator.deployment")


def _of_a_gateway(gateway: "GatewaySettings") -> Iterator[tuple[str, str]]:
    for kind in ("ConfigMap", "Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Secret"):
        yield kind, gateway.hostname
    yield "Service", peers(gateway.hostname)
    if gateway.exposure != "HostPort":
        yield "Service", gateway.hostname
    if gateway.monitoring:
        yield from ((kind, gateway.hostname) for kind in ("PodMonitor", "PrometheusRule"))


def _of_a_server(server: "HeadscaleSettings") -> Iterator[tuple[str, str, str]]:
    for kind in ("ConfigMap", "Deployment", "Ingress", "PersistentVolumeClaim", "Service"):
        yield kind, HEADSCALE, "the managed Headscale"
    yield "Service", f"{HEADSCALE}-stun", "the managed Headscale"
    yield "Secret", API_KEY_SECRET, "the managed Headscale"
    if server.ingress:
        name = server.ingress.tls_secret
        yield "Secret", name or INGRESS_SECRET, "headscale.ingress.tls_secret" if name else "headscale.ingress"
