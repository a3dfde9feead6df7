"""A gateway in a pod, which the stack declares and waits for."""

import pulumi

from infra.components.gateway_identity import GatewayIdentity
from infra.components.gateway_workload import GatewayWorkload
from infra.components.stack_cluster import StackCluster
from infra.resources.pre_auth_key import POD_JOIN_HOURS
from infra.resources.readiness import Readiness
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings
from infra.targets.target import Whereabouts


class Pod:
    """The target `kubernetes`."""

    join_hours = POD_JOIN_HOURS
    awaited = False

    def __init__(self, cluster: StackCluster, settings: StackSettings, gateway: GatewaySettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._gateway = gateway
        self.secret: str | None = gateway.hostname

    def declare(self, identity: GatewayIdentity, opts: pulumi.ResourceOptions) -> Whereabouts:
        """Its Deployment and what belongs to that."""
        workload = GatewayWorkload(self._cluster, self._settings, self._gateway, identity, opts=opts)
        self._deployment = workload.deployment
        return Whereabouts(
            peers_url=workload.peers_url,
            namespace=self._cluster.namespace,
            deployment=workload.name,
            resources=(workload,),
        )

    def await_ready(self, opts: pulumi.ResourceOptions) -> None:
        """Its Deployment is not ready before its agent and its tailscaled are."""
        Readiness(
            f"{self._gateway.name}-ready",
            deployment=self._deployment,
            deadline_seconds=self._gateway.registration_deadline,
            opts=opts,
        )

    def joined(self, node_id: pulumi.Output[str]) -> None:
        """The exit node is waited for."""
