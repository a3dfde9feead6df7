"""The key service in Kubernetes: Secret, ConfigMap, Deployment, NetworkPolicy, Service. It needs no volume.

Its API key is the stack's own. A managed server's lies in the Secret that the stack keeps, and is renewed there.
"""

import pulumi
from pulumi_kubernetes.core.v1 import ConfigMap, Secret, Service
from pulumi_kubernetes.networking.v1 import NetworkPolicy

from infra import gateway_programs
from infra.components.api_callers import callers
from infra.components.stack_cluster import NamespacedComponent, StackCluster
from infra.kubernetes.labels import NOT_AWAITED, OURS
from infra.resources.connections import API_KEY, API_KEY_SECRET
from infra.resources.readiness import Readiness
from infra.resources.token import digest
from infra.secret_contents import ADMIN_TOKEN, TOKENS
from infra.settings import object_names
from infra.settings.headscale import HeadscaleSettings
from infra.settings.mesh_clients import MeshClientsSettings
from infra.settings.resources import resources
from infra.settings.stack import StackSettings

NAME = object_names.KEY_SERVICE
SELECTOR = {"app.kubernetes.io/name": "keys", **OURS}
SECRETS, SERVERS_SECRET, CERTIFICATES = "/etc/meshgate", "/etc/meshgate-headscale", "/etc/meshgate-certificates"
CA_CERTIFICATE = "ca.crt"
NOBODY = 65532


class KeyService(NamespacedComponent):
    """The service's Kubernetes objects, all named meshgate-keys."""

    def __init__(
        self,
        cluster: StackCluster,
        settings: StackSettings,
        server: HeadscaleSettings,
        user: pulumi.Output[str],
        tokens: pulumi.Output[str],
        admin_token: pulumi.Output[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("meshgate:components:KeyService", cluster, "keys", "keys", settings.clients.pod, opts)
        own = settings.clients
        key = {} if server.managed else {API_KEY: _api_key(settings)}
        secret = Secret(
            "keys",
            metadata=self.metadata(NAME),
            string_data={TOKENS: tokens, ADMIN_TOKEN: admin_token, **key},
            opts=self.opts(),
        )
        certificate = server.ca_certificate
        trusted = [
            ConfigMap("keys", metadata=self.metadata(NAME), data={CA_CERTIFICATE: certificate}, opts=self.opts())
            for certificate in ([certificate] if certificate else [])
        ]
        policy = self._network_policy(settings, own)
        Service(
            "keys",
            # It is not awaited, and published before it is ready: an app is told why no key can be had.
            metadata=self.metadata(NAME, NOT_AWAITED),
            spec={
                "selector": SELECTOR,
                "publish_not_ready_addresses": True,
                "ports": [{"name": "http", "port": gateway_programs.HTTP_PORT, "target_port": "http"}],
            },
            opts=self.opts(),
        )
        spec = {
            "replicas": 1,
            "selector": {"match_labels": SELECTOR},
            "template": {
                "metadata": {
                    "labels": self.labels,
                    "annotations": {"meshgate/ca-certificate": digest(certificate or "")},
                },
                "spec": _pod(server, own, user),
            },
        }
        deployment = self.declare_deployment("keys", NAME, spec, secret, policy, *trusted)
        Readiness("keys-ready", deployment=deployment, opts=self.child(deployment))
        # As a gateway's peers_url: for every cluster's domain.
        self.url = pulumi.Output.format("http://{0}.{1}.svc:{2}", NAME, cluster.namespace, gateway_programs.HTTP_PORT)
        self.register_outputs({})

    def _network_policy(self, settings: StackSettings, own: MeshClientsSettings) -> NetworkPolicy:
        who = callers(settings.orchestrator, own.api_from)
        ports = [{"port": gateway_programs.HTTP_PORT, "protocol": "TCP"}]
        return NetworkPolicy(
            "keys",
            metadata=self.metadata(NAME),
            spec={
                "pod_selector": {"match_labels": SELECTOR},
                "policy_types": ["Ingress"],
                "ingress": [{"from": who, "ports": ports}] if who else [],  # an empty list of peers is everybody
            },
            opts=self.opts(),
        )


def _pod(server: HeadscaleSettings, own: MeshClientsSettings, user: pulumi.Output[str]) -> dict[str, object]:
    keys = [TOKENS] if server.managed else [TOKENS, API_KEY]
    volumes: list[dict[str, object]] = [{"name": "secrets", "secret": _secret(NAME, *keys)}]
    mounts: list[dict[str, object]] = [{"name": "secrets", "mount_path": SECRETS, "read_only": True}]
    if server.managed:
        volumes.append({"name": "headscale", "secret": _secret(API_KEY_SECRET, API_KEY)})
        mounts.append({"name": "headscale", "mount_path": SERVERS_SECRET, "read_only": True})
    if server.ca_certificate:
        volumes.append({"name": "certificates", "config_map": {"name": NAME}})
        mounts.append({"name": "certificates", "mount_path": CERTIFICATES, "read_only": True})
    probe = {"port": gateway_programs.PROBE_PORT_NAME}
    return {
        "automount_service_account_token": False,
        "enable_service_links": False,
        "security_context": {
            "run_as_user": NOBODY,
            "run_as_group": NOBODY,
            "fs_group": NOBODY,
            "run_as_non_root": True,
            "seccomp_profile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "keys",
                "image": own.image,
                "command": ["python3", "-m", "gateway.keys"],
                "env": _environment(server, own, user),
                "ports": [
                    {"name": "http", "container_port": gateway_programs.HTTP_PORT},
                    {"name": gateway_programs.PROBE_PORT_NAME, "container_port": gateway_programs.PROBE_PORT},
                ],
                "startup_probe": {
                    "http_get": probe | {"path": "/healthz"},
                    "period_seconds": 1,
                    "failure_threshold": 60,
                },
                "liveness_probe": {"http_get": probe | {"path": "/healthz"}, "period_seconds": 10},
                "readiness_probe": {
                    "http_get": probe | {"path": "/readyz"},
                    "period_seconds": 2,
                    "timeout_seconds": 5,
                    "failure_threshold": 3,
                },
                "resources": resources("keys"),
                "security_context": {
                    "allow_privilege_escalation": False,
                    "privileged": False,
                    "read_only_root_filesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volume_mounts": mounts,
            }
        ],
        "volumes": volumes,
    }


def _environment(
    server: HeadscaleSettings, own: MeshClientsSettings, user: pulumi.Output[str]
) -> list[dict[str, object]]:
    places = gateway_programs.KeyPlaces(
        api_key_file=f"{SERVERS_SECRET if server.managed else SECRETS}/{API_KEY}",
        token_file=f"{SECRETS}/{TOKENS}",
        ca_certificate_file=f"{CERTIFICATES}/{CA_CERTIFICATE}",
    )
    told = gateway_programs.keys_environment(server, own, user, places)
    return [{"name": name, "value": value} for name, value in told.items()]


def _api_key(settings: StackSettings) -> pulumi.Output[str]:
    key = settings.headscale_api_key
    return pulumi.Output.secret(key.get_secret_value() if key else "")


def _secret(name: str, *keys: str) -> dict[str, object]:
    return {"secret_name": name, "default_mode": 0o440, "items": [{"key": key, "path": key} for key in keys]}
