"""The section `headscale`."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from gateway.headscale import policy as policies
from infra.settings.section import Section
from infra.settings.value_types import Certificate, Name, NodePort, Quantity, ServerUrl


def _policy(given: object) -> policies.Document | None:
    return policies.declared(given) if given else None


class IngressSettings(Section):
    """How a managed Headscale is published by an ingress controller that passes protocol upgrades on."""

    class_name: str = "nginx"
    """The controller's ingress class."""
    tls_secret: str
    """Name of the kubernetes.io/tls Secret for the host of headscale.url, in the stack's namespace."""


class HeadscaleSettings(Section):
    """The Headscale server: declared by the stack (`managed`), or an existing one by its URL. Without it every gateway
    is plain."""

    managed: bool
    """Whether the stack declares the server; false for an existing one, which needs `headscale_api_key`."""
    url: ServerUrl
    """What nodes and this program dial, such as https://headscale.example.com."""
    ca_certificate: Certificate | None = None
    """PEM of the CA that signed the URL's certificate, when it is not a public one."""
    user: Name | None = None
    """The Headscale user that owns this stack's nodes; meshgate-<stack> when not set. One that was there before the
    stack stays when that goes."""
    policy: Annotated[dict[str, Any] | None, BeforeValidator(_policy)] = None
    """The policy of the whole mesh, as an object or as HuJSON text. It takes the place of the one that the server has
    in its database (`policy.mode: database`). `pulumi destroy` puts that one back."""
    image: str = "headscale/headscale:0.29.3"
    """The image of a managed server."""
    storage: Quantity = "1Gi"
    """Size of a managed server's volume."""
    storage_class: str | None = None
    """The storage class of a managed server's volume; the cluster's default when not set."""
    ingress: IngressSettings | None = None
    node_port: NodePort | None = None
    """Publishes a managed server's HTTP port on every node, for a proxy of the user's own."""
    stun_node_port: NodePort | None = None
    """Publishes a managed server's STUN on every node: nodes behind NAT learn their own address from it."""

    @model_validator(mode="after")
    def _server_settings_need_a_managed_server(self) -> Self:
        server_only = {"image", "storage", "storage_class", "ingress", "node_port", "stun_node_port"}
        if not self.managed and (given := sorted(server_only & self.model_fields_set)):
            raise ValueError(f"{', '.join(given)} describe a server of ours; leave them out or set managed: true")
        return self
