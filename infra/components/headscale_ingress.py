"""The Ingress before a managed Headscale, and the Secret of its certificate where the settings give one."""

from urllib.parse import urlsplit

import pulumi
from pulumi_kubernetes.core.v1 import Secret
from pulumi_kubernetes.networking.v1 import Ingress
from pydantic import SecretStr

from infra.components.stack_cluster import NamespacedComponent
from infra.kubernetes.labels import NOT_AWAITED
from infra.settings import object_names
from infra.settings.headscale import IngressSettings


def declare(
    server: NamespacedComponent,
    name: str,
    url: str,
    settings: IngressSettings,
    key: SecretStr | None,
    services: list[pulumi.Resource],
) -> Ingress:
    """The Ingress for the URL's host; `name` is that of the Service behind it, whose port is `http`.

    It is not awaited: controllers outside of clouds often publish no address. The API key, which comes by the URL, is.
    """
    certificate = [
        Secret(
            "certificate",
            metadata=server.metadata(object_names.INGRESS_SECRET),
            type="kubernetes.io/tls",
            string_data={"tls.crt": settings.certificate, "tls.key": pulumi.Output.secret(key.get_secret_value())},
            opts=server.opts(),
        )
        for key in ([key] if key and settings.certificate else [])
    ]
    host = urlsplit(url).hostname
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    return Ingress(
        "ingress",
        metadata=server.metadata(name, settings.annotations | NOT_AWAITED),
        spec={
            "ingress_class_name": settings.class_name,
            "tls": [{"hosts": [host], "secret_name": settings.tls_secret or object_names.INGRESS_SECRET}],
            "rules": [{"host": host, "http": {"paths": [{"path": "/", "path_type": "Prefix", "backend": backend}]}}],
        },
        opts=server.opts(*services, *certificate),
    )
