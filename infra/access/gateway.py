"""The gateway: native clients of WireGuard, OpenVPN and IPsec reach the mesh and the Internet through an exit node.

The way of the key: a WireGuard key pair → the gateway, in a pod or on a machine → the exit node → the outputs. The
gateway is ready only when its interface reports that public key. Headscale knows the exit node by its pre-auth key.
A gateway that does not offer WireGuard has no such pair.

A plain gateway is no node of a mesh: its clients reach the Internet alone, and Headscale hears nothing of it.
"""

from typing import Any

import pulumi
from pydantic import SecretStr

from infra import client_configs, previous_keys
from infra.components.component import Component
from infra.components.gateway_identity import GatewayIdentity, MeshIdentity
from infra.components.orchestrator_env import GatewayAccess
from infra.components.stack_cluster import StackCluster
from infra.resources.certificate_authority import CertificateAuthority, IssuingCertificate
from infra.resources.exit_node import ExitNode
from infra.resources.pre_auth_key import PreAuthKey
from infra.resources.token import Token, digest
from infra.resources.user import HeadscaleUser
from infra.resources.wireguard_key import KeyPair, WireGuardKey
from infra.settings.gateway import GatewaySettings
from infra.settings.headscale import HeadscaleSettings
from infra.settings.stack import StackSettings
from infra.targets import TARGETS
from infra.targets.target import Target, Whereabouts


class Gateway(Component):
    """One gateway, from its keys to the approved exit node."""

    handover: dict[str, pulumi.Input[object]] | None
    """What the playbook is to know of a gateway on a machine."""
    client_configs: dict[str, pulumi.Input[Any]]
    """What the configs of its clients hold."""
    whys: tuple[pulumi.Output[str], ...]
    """Why it does not come up, each empty when it does."""

    def __init__(
        self,
        cluster: StackCluster,
        settings: StackSettings,
        gateway: GatewaySettings,
        user: HeadscaleUser | None,
        authority: CertificateAuthority | None,
        joining: pulumi.ResourceHookBinding | None = None,
    ) -> None:
        super().__init__("meshgate:access:Gateway", gateway.name)
        self._gateway = gateway
        self._joining = joining
        server = settings.mesh(gateway)
        target = TARGETS[gateway.target](cluster, settings, gateway, self.child())
        key = None
        if gateway.has_wireguard:
            key = WireGuardKey(
                f"{gateway.name}-key",
                rotation=gateway.key_rotation,
                adopt=_secret(gateway.private_key),
                keep_previous=gateway.previous is not None,
                kept_in=target.secret,
                opts=self.child(),
            )
        token = Token(
            f"{gateway.name}-token",
            rotation=gateway.token_rotation,
            headscale=server.url if server else "" if settings.headscale else None,
            kept_in=target.secret,
            opts=self.child(),
        )
        identity = GatewayIdentity(
            tokens=token.file,
            admin_token=token.admin,
            wireguard=key.pair if key else None,
            previous=key.previous_pair if key and gateway.previous else None,
            mesh=self._mesh_identity(server, user, target) if server and user else None,
            issuer=self._issuer(authority, target) if authority and gateway.has_certificates else None,
        )
        found = target.declare(identity)
        exit_node = self._exit_node(identity.mesh, target, found) if identity.mesh else None
        arrival = target.arrival(exit_node, self.child(*found.resources))
        self.whys = arrival.whys
        self.handover = found.handover
        self.client_configs = {**client_configs.held(gateway, settings.namespace), **_learned(gateway, identity)}
        self.access = GatewayAccess(
            gateway=self,
            public_key=key.public_key if key else None,
            endpoint=gateway.endpoint,
            peers_url=found.peers_url,
            token=token.value,
            previous_token=token.previous,
            stood=arrival.stood,
            waited_for=not target.awaited,
        )
        self.outputs: dict[str, pulumi.Input[object]] = {
            **({"server_public_key": key.public_key, "server_endpoint": gateway.endpoint} if key else {}),
            **({"previous_key": _previous(gateway, identity.previous)} if identity.previous else {}),
            **(_in_the_mesh(exit_node, server) if exit_node and server else {}),
            "peers_url": found.peers_url,
            "client_networks": list(map(str, gateway.client_networks)),
            **({"openvpn_endpoints": gateway.openvpn_endpoints} if gateway.openvpn_ports else {}),
        }
        self.register_outputs(self.outputs)

    def _mesh_identity(self, server: HeadscaleSettings, user: HeadscaleUser, target: Target) -> MeshIdentity:
        key = PreAuthKey(
            f"{self._gateway.name}-pre-auth-key",
            server=server.url,
            user=user.user,
            owner=self._gateway.name,
            hostname=self._gateway.hostname,
            tags=list(self._gateway.tags),
            expiration_hours=target.join_hours,
            volume=target.volume,
            awaited=target.awaited,
            opts=self.child(user),
        )
        return MeshIdentity(server=server, pre_auth_key=key.key, pre_auth_key_id=key.id, user=user.user)

    def _issuer(self, authority: CertificateAuthority, target: Target) -> IssuingCertificate:
        return IssuingCertificate(
            f"{self._gateway.name}-issuer",
            common_name=f"Meshgate {pulumi.get_stack()}: gateway {self._gateway.name}"[:64],
            authority=authority,
            rotation=self._gateway.key_rotation,
            spared=self._gateway.previous is not None,
            kept_in=target.secret,
            opts=self.child(),
        )

    def _exit_node(self, mesh: MeshIdentity, target: Target, found: Whereabouts) -> ExitNode:
        return ExitNode(
            f"{self._gateway.name}-exit-node",
            server=mesh.server.url,
            pre_auth_key_id=mesh.pre_auth_key_id,
            user=mesh.user,
            hostname=self._gateway.hostname,
            volume=target.volume,
            tags=self._gateway.tags,
            namespace=found.namespace,
            deployment=found.deployment,
            deadline_seconds=self._gateway.registration_deadline,
            awaited=target.awaited,
            opts=self.child(*found.resources, hooks=self._joining),
        )


def _secret(value: SecretStr | None) -> pulumi.Output[str] | None:
    return pulumi.Output.secret(value.get_secret_value()) if value else None


def _learned(gateway: GatewaySettings, identity: GatewayIdentity) -> dict[str, pulumi.Input[Any]]:
    """What the settings do not tell of clients' configs."""
    key, issuer = identity.wireguard, identity.issuer
    return {
        **({client_configs.PUBLIC_KEY: key.public_key} if key else {}),
        **({previous_keys.PREVIOUS: _previous(gateway, identity.previous)} if identity.previous else {}),
        **({client_configs.ISSUER: issuer.chain.apply(digest)} if issuer else {}),
    }


def _previous(gateway: GatewaySettings, key: KeyPair) -> dict[str, pulumi.Input[Any]]:
    """What older configs hold, and until when that works."""
    until = gateway.previous.until if gateway.previous else None
    told: dict[str, pulumi.Input[Any]] = {"public_key": key.public_key, "endpoint": gateway.previous_endpoint}
    return told | ({"until": until.isoformat()} if until else {})


def _in_the_mesh(node: ExitNode, server: HeadscaleSettings) -> dict[str, pulumi.Input[object]]:
    return {
        "exit_node": {
            "id": node.node_id,
            "name": node.node_name,
            "addresses": node.addresses,
            "node_key": node.node_key,
            "routes": node.routes,
        },
        "headscale_url": server.url,
    }
