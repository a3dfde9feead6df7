"""Access mode "wireguard": native WireGuard clients reach the mesh and the Internet through an exit node of the mesh.

The way of the key: a WireGuard key pair → the gateway, in a pod or on a machine → the exit node → the outputs. The
gateway is ready only when its interface reports that public key. Headscale knows the exit node by its pre-auth key.
"""

import pulumi

from infra import gateway_programs
from infra.components.component import Component
from infra.components.gateway_identity import GatewayIdentity
from infra.components.orchestrator_env import GatewayAccess
from infra.components.stack_cluster import StackCluster
from infra.resources.exit_node import ExitNode
from infra.resources.pre_auth_key import PreAuthKey
from infra.resources.token import Token
from infra.resources.user import HeadscaleUser
from infra.resources.wireguard_key import WireGuardKey
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings
from infra.targets import TARGETS


class WireGuardGateway(Component):
    """One gateway, from its keys to the approved exit node."""

    handover: dict[str, pulumi.Input[object]] | None
    """What the playbook is to know of a gateway on a machine."""

    def __init__(
        self, cluster: StackCluster, settings: StackSettings, gateway: GatewaySettings, user: HeadscaleUser
    ) -> None:
        super().__init__("meshgate:access:Gateway", gateway.name)
        target = TARGETS[gateway.target](cluster, settings, gateway)
        key = WireGuardKey(f"{gateway.name}-key", rotation=gateway.key_rotation, opts=self.child())
        token = Token(f"{gateway.name}-token", rotation=gateway.token_rotation, opts=self.child())
        pre_auth_key = PreAuthKey(
            f"{gateway.name}-pre-auth-key",
            user=user.user,
            owner=gateway.name,
            tags=list(gateway.tags),
            expiration_hours=target.join_hours,
            awaited=target.awaited,
            opts=self.child(user),
        )
        identity = GatewayIdentity(
            private_key=key.private_key,
            public_key=key.public_key,
            tokens=pulumi.Output.all(token.value, token.previous, token.next, token.admin).apply(
                lambda tokens: gateway_programs.token_file(tokens[:-1], admin=tokens[-1])
            ),
            admin_token=token.admin,
            pre_auth_key=pre_auth_key.key,
            pre_auth_key_id=pre_auth_key.id,
            user=user.user,
        )
        found = target.declare(identity, self.child())
        exit_node = ExitNode(
            f"{gateway.name}-exit-node",
            pre_auth_key_id=pre_auth_key.id,
            user=user.user,
            hostname=gateway.hostname,
            namespace=found.namespace,
            deployment=found.deployment,
            deadline_seconds=gateway.registration_deadline,
            awaited=target.awaited,
            opts=self.child(*found.resources),
        )
        self.handover = found.handover
        self.access = GatewayAccess(
            gateway=self,
            public_key=key.public_key,
            endpoint=gateway.endpoint,
            peers_url=found.peers_url,
            token=token.value,
            previous_token=token.previous,
            joined=target.joined(exit_node.node_id),
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
            "peers_url": found.peers_url,
            "client_networks": list(map(str, gateway.client_networks)),
        }
        self.register_outputs(self.outputs)
