"""The section `headscale`."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.headscale import policy as policies
from infra.settings.kubernetes_names import ExtraAnnotations, ObjectName
from infra.settings.pod import PodSettings
from infra.settings.section import Section
from infra.settings.value_types import Certificate, NodePort, Quantity, ServerUrl, UserName


def _policy(given: object) -> policies.Document | None:
    return policies.declared(given) if given else None


class IngressSettings(Section):
    """How a managed Headscale is published by an ingress controller that passes protocol upgrades on."""

    class_name: ObjectName = "nginx"
    """The controller's ingress class."""
    tls_secret: ObjectName | None = None
    """Name of the kubernetes.io/tls Secret for the host of headscale.url, in the stack's namespace. It is there
    already, or comes while `up` waits for it, such as from cert-manager by `annotations`."""
    certificate: Certificate | None = None
    """PEM of the certificate for that host and of those that signed it. The stack makes the Secret of it and of
    `headscale_ingress_key`."""
    annotations: ExtraAnnotations = Field(default_factory=dict)
    """Annotations of the Ingress, such as `cert-manager.io/cluster-issuer: letsencrypt`, which makes `tls_secret`."""

    @model_validator(mode="after")
    def _one_certificate(self) -> Self:
        if (self.tls_secret is None) == (self.certificate is None):
            raise ValueError("give tls_secret or certificate, one of them, so that the host of headscale.url has TLS")
        return self


class HeadscaleSettings(Section):
    """The Headscale server: declared by the stack (`managed`), or an existing one by its URL. Without it every gateway
    is plain."""

    managed: bool
    """Whether the stack declares the server; false for an existing one, which needs `headscale_api_key`."""
    url: ServerUrl
    """What nodes and this program dial, such as https://headscale.example.com; it has no path."""
    ca_certificate: Certificate | None = None
    """PEM of the CA that signed the URL's certificate, when it is not a public one."""
    user: UserName | None = None
    """The Headscale user that owns this stack's nodes; meshgate-<stack> when not set. One that was there before the
    stack stays when that goes. Every version makes new ones of lower-case letters, digits, dashes and dots."""
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
    pod: PodSettings = PodSettings()

    @model_validator(mode="after")
    def _server_settings_need_a_managed_server(self) -> Self:
        server_only = {"image", "storage", "storage_class", "ingress", "node_port", "stun_node_port", "pod"}
        if not self.managed and (given := sorted(server_only & self.model_fields_set)):
            raise ValueError(f"{', '.join(given)} describe a server of ours; leave them out or set managed: true")
        return self
