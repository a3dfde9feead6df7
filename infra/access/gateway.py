"""Access mode "gateway": native WireGuard clients reach the mesh and the Internet through an exit node of the mesh.

The way of the key: a WireGuard key pair → the gateway's Deployment, ready only when the running interface reports
that same public key → the exit node, which Headscale knows by the pre-auth key that it used → the stack's outputs.
"""

import pulumi

from infra.components.cluster import Cluster
from infra.components.component import Component
from infra.components.gateway_pod import Identity
from infra.components.gateway_workload import GatewayWorkload
from infra.resources.exit_node import ExitNode
from infra.resources.pre_auth_key import PreAuthKey
from infra.resources.token import Token
from infra.resources.user import HeadscaleUser
from infra.resources.wireguard_key import WireGuardKey
from infra.settings import GatewaySettings, Settings


class Gateway(Component):
    """One gateway, from its keys to the approved exit node."""

    def __init__(self, cluster: Cluster, settings: Settings, gateway: GatewaySettings, user: HeadscaleUser) -> None:
        super().__init__("meshgate:access:Gateway", gateway.name)
        key = WireGuardKey("key", opts=self.child())
        token = Token("token", opts=self.child())
        pre_auth_key = PreAuthKey(
            "pre-auth-key", user=user.user, owner=gateway.name, tags=list(gateway.tags), opts=self.child(user)
        )
        workload = GatewayWorkload(
            cluster,
            settings,
            gateway,
            Identity(
                private_key=key.private_key,
                public_key=key.public_key,
                token=token.value,
                pre_auth_key=pre_auth_key.key,
            ),
            opts=self.child(),
        )
        exit_node = ExitNode(
            "exit-node",
            pre_auth_key_id=pre_auth_key.id,
            user=user.user,
            hostname=gateway.hostname,
            namespace=cluster.namespace,
            deployment=workload.name,
            deadline_seconds=gateway.registration_deadline,
            opts=self.child(workload),
        )
        self.token = token.value
        self.env: dict[str, pulumi.Input[str]] = {
            "HEADSCALE_SERVER_PUBLIC_KEY": key.public_key,
            "HEADSCALE_SERVER_ENDPOINT": gateway.endpoint,
            "GATEWAY_PEERS_URL": workload.peers_url,
        }
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
            "peers_url": workload.peers_url,
            "client_networks": list(map(str, gateway.client_networks)),
        }
        self.register_outputs(self.outputs)
