"""A gateway in a pod, which the stack declares and waits for."""

import pulumi

from infra.components.gateway_identity import GatewayIdentity
from infra.components.gateway_workload import GatewayWorkload
from infra.components.stack_cluster import StackCluster
from infra.resources.exit_node import ExitNode
from infra.resources.pre_auth_key import POD_JOIN_HOURS
from infra.resources.readiness import Readiness
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings
from infra.targets.target import Arrival, Whereabouts


class Pod:
    """The target `kubernetes`."""

    join_hours = POD_JOIN_HOURS
    awaited = False

    def __init__(
        self, cluster: StackCluster, settings: StackSettings, gateway: GatewaySettings, opts: pulumi.ResourceOptions
    ) -> None:
        self._cluster = cluster
        self._gateway = gateway
        self._workload = GatewayWorkload(cluster, settings, gateway, opts)
        self.secret: str | None = gateway.hostname
        self.volume: pulumi.Output[str] | None = self._workload.volume.metadata.uid

    def declare(self, identity: GatewayIdentity) -> Whereabouts:
        """Its Deployment and what belongs to that."""
        self._workload.declare(identity)
        return Whereabouts(
            peers_url=self._workload.peers_url,
            namespace=self._cluster.namespace,
            deployment=self._workload.name,
            resources=(self._workload,),
        )

    def arrival(self, exit_node: ExitNode | None, opts: pulumi.ResourceOptions) -> Arrival:
        """Its Deployment is not ready before its agent and its tailscaled are.

        The exit node comes first, as it says it better when a gateway does not join.
        """
        joined = [exit_node.why] if exit_node else []
        ready = Readiness(
            f"{self._gateway.name}-ready",
            deployment=self._workload.deployment,
            deadline_seconds=self._gateway.registration_deadline,
            judged=True,
            held_up=next(iter(joined), None),
            opts=opts,
        )
        # A state of an older program does not tell it of what has been ready.
        stood = ready.stood.apply(lambda stood: stood is not False)
        return Arrival(stood, whys=(*joined, ready.why))
