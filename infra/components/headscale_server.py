"""A managed Headscale server: one replica on a volume, behind the user's ingress or proxy.

Its URL speaks TLS: an Ingress does, or a proxy in front of node_port. The pod itself speaks HTTP inside the cluster.
The embedded DERP relay shares the HTTP port, STUN has one of its own. The configuration has the keys of Headscale 0.29.
"""

import hashlib
from urllib.parse import urlsplit

import yaml
from pulumi_kubernetes.core.v1 import ConfigMap, Service
from pulumi_kubernetes.networking.v1 import Ingress
from pydantic import SecretStr

from infra.components import headscale_ingress
from infra.components.stack_cluster import NamespacedComponent, StackCluster
from infra.kubernetes.labels import OURS
from infra.resources.api_key import HeadscaleApiKey, secret_of
from infra.resources.connections import API_KEY_SECRET
from infra.resources.readiness import Readiness
from infra.settings import object_names
from infra.settings.headscale import HeadscaleSettings
from infra.settings.resources import resources
from infra.settings.value_types import MESH_NETWORKS

NAME = object_names.HEADSCALE
SELECTOR = {"app.kubernetes.io/name": NAME, **OURS}
HTTP_PORT = 8080
STUN_PORT = 3478
STATE = "/var/lib/headscale"


class HeadscaleServer(NamespacedComponent):
    """ConfigMap, volume, Deployment, Services, optional Ingress, and the API key that this program uses."""

    def __init__(
        self, cluster: StackCluster, settings: HeadscaleSettings, ingress_key: SecretStr | None = None
    ) -> None:
        super().__init__("meshgate:components:HeadscaleServer", cluster, NAME, "headscale", settings.pod)
        # Headscale tells clients the port that it listens on itself: it must be the published one.
        self._stun_port = settings.stun_node_port or STUN_PORT
        config = yaml.safe_dump(configuration(settings.url, self._stun_port), sort_keys=False)
        config_map = ConfigMap("config", metadata=self.metadata(NAME), data={"config.yaml": config}, opts=self.opts())
        state = self.claim("state", NAME, settings.storage, settings.storage_class)
        spec = {
            "replicas": 1,
            # SQLite and the in-memory netmap allow one server at a time.
            "strategy": {"type": "Recreate"},
            "selector": {"match_labels": SELECTOR},
            "template": {
                "metadata": {
                    "labels": self.labels,
                    "annotations": {"meshgate/config": hashlib.sha256(config.encode()).hexdigest()[:16]},
                },
                "spec": {
                    "automount_service_account_token": False,
                    "enable_service_links": False,
                    "security_context": {
                        # Root without a capability: it owns its hostPath volumes too, which have no fsGroup.
                        "run_as_user": 0,
                        "seccomp_profile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(settings.image, self._stun_port)],
                    "volumes": [
                        {"name": "config", "config_map": {"name": config_map.metadata.name}},
                        {"name": "state", "persistent_volume_claim": {"claim_name": state.metadata.name}},
                        {"name": "run", "empty_dir": {}},
                        {"name": "tmp", "empty_dir": {}},
                    ],
                },
            },
        }
        deployment = self.declare_deployment("server", NAME, spec)
        self._ready = Readiness("server-ready", deployment=deployment, opts=self.child(deployment))
        services = self._services(settings, ingress_key)
        self.api_key = HeadscaleApiKey(
            "api-key",
            namespace=cluster.namespace,
            deployment=NAME,
            labels={**self.labels, **cluster.owner},
            opts=self.child(self._ready, *services, hooks=cluster.guard_for(API_KEY_SECRET, secret_of)),
        )
        self.register_outputs({})

    def _services(self, settings: HeadscaleSettings, ingress_key: SecretStr | None) -> list[Service | Ingress]:
        http = {"name": "http", "port": HTTP_PORT, "target_port": "http"}
        stun = {"name": "stun", "port": self._stun_port, "target_port": "stun", "protocol": "UDP"}
        services: list[Service | Ingress] = [
            Service(
                "http",
                metadata=self.metadata(NAME),
                spec={
                    "type": "NodePort" if settings.node_port else "ClusterIP",
                    "selector": SELECTOR,
                    "ports": [http | ({"node_port": settings.node_port} if settings.node_port else {})],
                },
                opts=self.opts(self._ready),
            )
        ]
        if settings.stun_node_port:
            services.append(
                Service(
                    "stun",
                    metadata=self.metadata(f"{NAME}-stun"),
                    spec={
                        "type": "NodePort",
                        "ip_family_policy": "PreferDualStack",
                        "selector": SELECTOR,
                        # STUN answers with the address it sees: it must be the client's own.
                        "external_traffic_policy": "Local",
                        "ports": [stun | {"node_port": settings.stun_node_port}],
                    },
                    opts=self.opts(self._ready),
                )
            )
        if settings.ingress:
            before = headscale_ingress.declare(self, NAME, settings.url, settings.ingress, ingress_key, [*services])
            services.append(before)
        return services


def configuration(url: str, stun_port: int) -> dict[str, object]:
    """Headscale's config.yaml: this one server, its embedded DERP relay, policy by API, nothing phoned home."""
    ipv4, ipv6 = MESH_NETWORKS
    return {
        "server_url": url,
        # Without an address: IPv4 and IPv6, as far as the node's kernel has them.
        "listen_addr": f":{HTTP_PORT}",
        "metrics_listen_addr": ":9090",
        "grpc_listen_addr": "127.0.0.1:50443",
        "disable_check_updates": True,
        "noise": {"private_key_path": f"{STATE}/noise_private.key"},
        "prefixes": {"v4": str(ipv4), "v6": str(ipv6), "allocation": "sequential"},
        "database": {"type": "sqlite", "sqlite": {"path": f"{STATE}/db.sqlite", "write_ahead_log": True}},
        "derp": {
            "server": {
                "enabled": True,
                "region_id": 999,
                "region_code": "headscale",
                "region_name": "Headscale",
                "verify_clients": True,
                "stun_listen_addr": f":{stun_port}",
                "private_key_path": f"{STATE}/derp_private.key",
                "automatically_add_embedded_derp_region": True,
                **_relay_address(url),
            },
            "urls": [],
            "paths": [],
            "auto_update_enabled": False,
        },
        "dns": {
            "magic_dns": False,
            "override_local_dns": False,
            "base_domain": "mesh.internal",
            "nameservers": {"global": []},
        },
        "policy": {"mode": "database"},
        "unix_socket": "/var/run/headscale/headscale.sock",
        "unix_socket_permission": "0700",
    }


def _relay_address(url: str) -> dict[str, str]:
    """Headscale names the relay by the URL's host, which no tailscaled can dial where it is an IPv6 address."""
    host = urlsplit(url).hostname or ""
    return {"ipv6": host} if ":" in host else {}


def _container(image: str, stun_port: int) -> dict[str, object]:
    return {
        "name": NAME,
        "image": image,
        "args": ["serve"],
        "ports": [
            {"name": "http", "container_port": HTTP_PORT},
            {"name": "stun", "container_port": stun_port, "protocol": "UDP"},
            {"name": "metrics", "container_port": 9090},
        ],
        "startup_probe": {
            "http_get": {"path": "/health", "port": "http"},
            "period_seconds": 1,
            "failure_threshold": 60,
        },
        "readiness_probe": {"http_get": {"path": "/health", "port": "http"}, "period_seconds": 5},
        "liveness_probe": {"http_get": {"path": "/health", "port": "http"}, "period_seconds": 20},
        "resources": resources(NAME),
        "security_context": {
            "allow_privilege_escalation": False,
            "read_only_root_filesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volume_mounts": [
            {"name": "config", "mount_path": "/etc/headscale", "read_only": True},
            {"name": "state", "mount_path": STATE},
            {"name": "run", "mount_path": "/var/run/headscale"},
            {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108 (a volume's place in the pod)
        ],
    }
