"""The gateway in Kubernetes: Secret, volume, Deployment, Services and NetworkPolicy of one gateway."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, PersistentVolumeClaim, Secret, Service
from pulumi_kubernetes.networking.v1 import NetworkPolicy

from infra.components import gateway_pod
from infra.components.cluster import Cluster
from infra.components.component import Component, labels
from infra.settings import GatewaySettings, Settings


@dataclass(frozen=True)
class Identity:
    """What the gateway is known by; the first three are secrets."""

    private_key: pulumi.Output[str]
    token: pulumi.Output[str]
    pre_auth_key: pulumi.Output[str]
    public_key: pulumi.Output[str]


class GatewayWorkload(Component):
    """A gateway's Kubernetes objects, all named meshgate-<gateway>."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        gateway: GatewaySettings,
        identity: Identity,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("meshgate:components:GatewayWorkload", gateway.name, opts=opts)
        self._cluster, self._gateway = cluster, gateway
        self.name = f"meshgate-{gateway.name}"
        self.selector = {"app.kubernetes.io/name": "gateway", "app.kubernetes.io/instance": gateway.name}
        secret = Secret(
            "identity",
            metadata=self._metadata(),
            string_data={
                gateway_pod.PRIVATE_KEY: identity.private_key,
                gateway_pod.TOKEN: identity.token,
                gateway_pod.PRE_AUTH_KEY: identity.pre_auth_key,
            },
            opts=self._child(),
        )
        certificates = None
        if settings.headscale.ca_certificate:
            certificates = ConfigMap(
                "certificates",
                metadata=self._metadata(),
                data={gateway_pod.CA_CERTIFICATE: settings.headscale.ca_certificate},
                opts=self._child(),
            )
        state = PersistentVolumeClaim(
            "state",
            metadata=self._metadata(),
            spec={
                "access_modes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": gateway.storage}},
                **({"storage_class_name": gateway.storage_class} if gateway.storage_class else {}),
            },
            opts=self._child(),
        )
        # Before the pod: it is let in from its first moment, and not a moment longer.
        policy = self._network_policy(settings)
        self.services = self._services()
        self.deployment = Deployment(
            "gateway",
            metadata=self._metadata(),
            spec={
                "replicas": 1,
                # Two pods with one tailscaled state are a cloned machine to Headscale (tailscale#4837).
                "strategy": {"type": "Recreate"},
                "selector": {"match_labels": self.selector},
                "template": {
                    "metadata": {
                        "labels": labels("gateway", gateway.name),
                        "annotations": gateway_pod.annotations(settings, identity.public_key, identity.pre_auth_key),
                    },
                    "spec": gateway_pod.spec(settings, gateway, self.name, identity.public_key),
                },
            },
            opts=self._child(secret, state, policy, *([certificates] if certificates else [])),
        )
        namespace = cluster.namespace
        self.peers_url = pulumi.Output.format(
            "http://{0}-peers.{1}.svc.cluster.local:{2}", self.name, namespace, gateway_pod.HTTP_PORT
        )
        self.register_outputs({})

    def _services(self) -> list[Service]:
        """The peer API inside the cluster, and the WireGuard port outside it.

        They are not awaited: the Deployment's rollout and the exit node prove that they have a ready pod.
        """
        services = [
            Service(
                "peers",
                metadata=self._metadata("-peers", {"pulumi.com/skipAwait": "true"}),
                spec={
                    "selector": self.selector,
                    "ports": [{"name": "http", "port": gateway_pod.HTTP_PORT, "target_port": "http"}],
                },
                opts=self._child(),
            )
        ]
        if self._gateway.exposure != "HostPort":
            port = self._gateway.port
            node_port = {"node_port": port} if self._gateway.exposure == "NodePort" else {}
            services.append(
                Service(
                    "wireguard",
                    metadata=self._metadata(
                        annotations={"pulumi.com/skipAwait": "true"} | self._gateway.service_annotations
                    ),
                    spec={
                        "type": self._gateway.exposure,
                        "selector": self.selector,
                        # Local keeps the client's own address and port: what is restored after a restart.
                        "external_traffic_policy": "Local",
                        # There is one pod: its tunnels need not wait until it is ready in all its parts.
                        "publish_not_ready_addresses": True,
                        "ports": [
                            {"name": "wireguard", "port": port, "target_port": port, "protocol": "UDP"} | node_port
                        ],
                    },
                    opts=self._child(),
                )
            )
        return services

    def _network_policy(self, settings: Settings) -> NetworkPolicy:
        """In: WireGuard and tailscaled from anywhere, the peer API from the orchestrator. Out: it is an exit node."""
        ingress: list[dict[str, object]] = [
            {
                "ports": [
                    {"port": self._gateway.port, "protocol": "UDP"},
                    {"port": self._gateway.tailscale_port, "protocol": "UDP"},
                ]
            }
        ]
        if settings.orchestrator:
            orchestrator = {"kubernetes.io/metadata.name": settings.orchestrator.namespace}
            ingress.append(
                {
                    "from": [{"namespace_selector": {"match_labels": orchestrator}}],
                    "ports": [{"port": gateway_pod.HTTP_PORT, "protocol": "TCP"}],
                }
            )
        return NetworkPolicy(
            "policy",
            metadata=self._metadata(),
            spec={"pod_selector": {"match_labels": self.selector}, "policy_types": ["Ingress"], "ingress": ingress},
            opts=self._child(),
        )

    def _metadata(self, suffix: str = "", annotations: dict[str, str] | None = None) -> dict[str, object]:
        return {
            "name": self.name + suffix,
            "namespace": self._cluster.namespace,
            "labels": labels("gateway", self._gateway.name),
            "annotations": annotations or {},
        }

    def _child(self, *depends_on: pulumi.Resource) -> pulumi.ResourceOptions:
        return self.child(*depends_on, provider=self._cluster.provider)
