"""Access mode "gateway": native WireGuard clients reach the mesh and the Internet through an exit node of the mesh.

The way of the key: a WireGuard key pair → the gateway's Deployment, ready only when the running interface reports
that same public key → the exit node, which Headscale knows by the pre-auth key that it used → the stack's outputs.
On bare metal a playbook is in the Deployment's place: the stack hands over to it, and takes up the node once it joined.
"""

import pulumi

from infra.access import metal
from infra.components.component import Component
from infra.components.gateway_pod import Identity
from infra.components.gateway_workload import GatewayWorkload
from infra.components.orchestrator_env import GatewayAccess
from infra.components.stack_cluster import StackCluster
from infra.resources.exit_node import ExitNode
from infra.resources.pre_auth_key import PreAuthKey
from infra.resources.token import Token
from infra.resources.user import HeadscaleUser
from infra.resources.wireguard_key import WireGuardKey
from infra.settings.gateway import GatewaySettings
from infra.settings.top_level import StackSettings


class Gateway(Component):
    """One gateway, from its keys to the approved exit node."""

    handover: dict[str, pulumi.Input[object]] | None = None
    """What the playbook is to know of a gateway on bare metal."""

    def __init__(
        self, cluster: StackCluster, settings: StackSettings, gateway: GatewaySettings, user: HeadscaleUser
    ) -> None:
        super().__init__("meshgate:access:Gateway", gateway.name)
        on_metal = gateway.target == "metal"
        key = WireGuardKey(f"{gateway.name}-key", rotation=gateway.key_rotation, opts=self.child())
        token = Token(f"{gateway.name}-token", opts=self.child())
        pre_auth_key = PreAuthKey(
            f"{gateway.name}-pre-auth-key",
            user=user.user,
            owner=gateway.name,
            tags=list(gateway.tags),
            expiration_hours=metal.JOIN_HOURS if on_metal else 1,
            awaited=on_metal,
            opts=self.child(user),
        )
        identity = Identity(
            private_key=key.private_key,
            public_key=key.public_key,
            token=token.value,
            pre_auth_key=pre_auth_key.key,
        )
        if on_metal:
            self.handover = metal.handover(settings, gateway, identity, pre_auth_key.id, user.user)
            peers_url = pulumi.Output.from_input(gateway.peers_url or "")
            exit_node = ExitNode(
                f"{gateway.name}-exit-node",
                pre_auth_key_id=pre_auth_key.id,
                user=user.user,
                hostname=gateway.hostname,
                awaited=True,
                opts=self.child(),
            )
        else:
            workload = GatewayWorkload(cluster, settings, gateway, identity, opts=self.child())
            peers_url = workload.peers_url
            exit_node = ExitNode(
                f"{gateway.name}-exit-node",
                pre_auth_key_id=pre_auth_key.id,
                user=user.user,
                hostname=gateway.hostname,
                namespace=cluster.namespace,
                deployment=workload.name,
                deadline_seconds=gateway.registration_deadline,
                opts=self.child(workload),
            )
        self.access = GatewayAccess(
            gateway=self,
            public_key=key.public_key,
            endpoint=gateway.endpoint,
            peers_url=peers_url,
            token=token.value,
            joined=exit_node.node_id.apply(bool) if on_metal else None,
        )
        self.outputs: dict[str, pulumi.Input[object]] = {
            "server_public_key": key.public_key,
            "server_endpoint": gateway.endpoint,
            "exit_node": {
                "id": exit_node.node_id,
                "name": exit_node.node_name,
                "addresses": exit_node.addresses,
                "node_key": exit_node.node_key,
                "routes": exit_node.routes,
            },
            "headscale_url": settings.headscale.url,
            "peers_url": peers_url,
            "client_networks": list(map(str, gateway.client_networks)),
        }
        self.register_outputs(self.outputs)
