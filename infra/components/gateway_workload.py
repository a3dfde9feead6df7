"""The gateway in Kubernetes: Secret, ConfigMap, volume, Deployment, NetworkPolicy, Services (NodePort and others)."""

import pulumi
from pulumi_kubernetes.apps.v1 import Deployment
from pulumi_kubernetes.core.v1 import ConfigMap, Secret, Service
from pulumi_kubernetes.networking.v1 import NetworkPolicy

from infra import gateway_programs
from infra.components import gateway_monitoring, gateway_pod
from infra.components.api_callers import callers
from infra.components.gateway_identity import GatewayIdentity
from infra.components.gateway_monitoring import GatewayMonitoring
from infra.components.stack_cluster import NamespacedComponent, StackCluster
from infra.kubernetes.labels import INSTANCE, NOT_AWAITED, OURS
from infra.settings import object_names
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings


class GatewayWorkload(NamespacedComponent):
    """A gateway's Kubernetes objects, all named meshgate-<gateway>: first its volume, and by `declare` the others."""

    deployment: Deployment

    def __init__(
        self, cluster: StackCluster, settings: StackSettings, gateway: GatewaySettings, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("meshgate:components:GatewayWorkload", cluster, "gateway", gateway.name, gateway.pod, opts)
        self._settings = settings
        self._gateway = gateway
        self.name = gateway.hostname
        self.selector = {"app.kubernetes.io/name": "gateway", INSTANCE: gateway.name, **OURS}
        self.volume = self.claim(f"{gateway.name}-state", self.name, gateway.storage, gateway.storage_class)
        self.peers_url = pulumi.Output.format(
            # Every pod's search path makes this whole, whatever the cluster's domain is.
            "http://{0}.{1}.svc:{2}",
            object_names.peers(self.name),
            cluster.namespace,
            gateway_programs.HTTP_PORT,
        )

    def declare(self, identity: GatewayIdentity) -> None:
        """All that makes the volume this gateway."""
        settings, gateway = self._settings, self._gateway
        secret = Secret(
            f"{gateway.name}-identity",
            metadata=self.metadata(self.name),
            string_data=gateway_pod.secrets(identity),
            opts=self.opts(),
        )
        config = ConfigMap(
            f"{gateway.name}-config",
            metadata=self.metadata(self.name),
            data=gateway_pod.config(settings, gateway, identity),
            opts=self.opts(),
        )
        # Before the pod: it is let in from its first moment, and not a moment longer.
        policy = self._network_policy(settings)
        self._services()
        spec = {
            "replicas": 1,
            # Two pods with one tailscaled state are a cloned machine to Headscale (tailscale#4837).
            "strategy": {"type": "Recreate"},
            "selector": {"match_labels": self.selector},
            "template": {
                "metadata": {"labels": self.labels, "annotations": gateway_pod.annotations(identity)},
                "spec": gateway_pod.spec(gateway, self.name, identity),
            },
        }
        self.deployment = self.declare_deployment(
            f"{gateway.name}-gateway", self.name, spec, secret, config, self.volume, policy
        )
        if gateway.monitoring:
            GatewayMonitoring(self.cluster, gateway, gateway.monitoring, self.selector, self.child())
        self.register_outputs({})

    def _services(self) -> None:
        """The peer API inside the cluster, and the clients' ports outside it.

        They are not awaited: the gateway's Readiness and the exit node prove that they have a ready pod.
        """
        Service(
            f"{self._gateway.name}-peers",
            metadata=self.metadata(object_names.peers(self.name), NOT_AWAITED),
            spec={
                "selector": self.selector,
                # A device can be shut out by the agent alone, so also while tailscaled, or Headscale, is unwell.
                "publish_not_ready_addresses": True,
                "ports": [{"name": "http", "port": gateway_programs.HTTP_PORT, "target_port": "http"}],
            },
            opts=self.opts(),
        )
        if self._gateway.exposure == "HostPort":
            return
        Service(
            f"{self._gateway.name}-wireguard",
            metadata=self.metadata(self.name, NOT_AWAITED | self._gateway.service_annotations),
            spec={
                "type": self._gateway.exposure,
                # Clients dial by either, where the cluster has both.
                "ip_family_policy": "PreferDualStack",
                "selector": self.selector,
                # Local keeps the client's own address and port: what is restored after a restart.
                "external_traffic_policy": "Local",
                # There is one pod: its tunnels need not wait until it is ready in all its parts.
                "publish_not_ready_addresses": True,
                "ports": [
                    {
                        "name": port.name,
                        "port": port.published,
                        "target_port": port.listened,
                        "protocol": port.transport.upper(),
                        **({"node_port": port.published} if self._gateway.exposure == "NodePort" else {}),
                    }
                    for port in self._gateway.client_ports
                ],
            },
            opts=self.opts(),
        )

    def _network_policy(self, settings: StackSettings) -> NetworkPolicy:
        """In: clients and tailscaled from anywhere, the peer API from who may. Out: its own firewall judges.

        Egress rules would be judged after Services' addresses are translated, and by each CNI in its own way: what
        tailscaled needs of Headscale, DNS and peers near by could not be named for every cluster.
        """
        ports = [{"port": port.listened, "protocol": port.transport.upper()} for port in self._gateway.client_ports]
        if settings.mesh(self._gateway):
            ports.insert(1, {"port": self._gateway.tailscale_port, "protocol": "UDP"})
        ingress: list[dict[str, object]] = [{"ports": ports}]
        if who := callers(settings.orchestrator, self._gateway.api_from):  # an empty list would mean everybody
            ingress.append({"from": who, "ports": [{"port": gateway_programs.HTTP_PORT, "protocol": "TCP"}]})
        if self._gateway.monitoring:
            ingress.append(gateway_monitoring.way_in(self._gateway.monitoring))
        return NetworkPolicy(
            f"{self._gateway.name}-policy",
            metadata=self.metadata(self.name),
            spec={"pod_selector": {"match_labels": self.selector}, "policy_types": ["Ingress"], "ingress": ingress},
            opts=self.opts(),
        )
