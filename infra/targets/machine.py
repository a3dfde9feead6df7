"""A gateway on a machine, which `playbooks/gateway.yml` converges: the stack hands over all that makes it that gateway.

The handover is part of the stack's secret output `metal`, which the inventory plugin `meshgate_stack` reads.
"""

import pulumi

from infra.components.gateway_identity import GatewayIdentity, MeshIdentity
from infra.components.stack_cluster import StackCluster
from infra.resources.certificate_authority import IssuingCertificate
from infra.resources.exit_node import ExitNode
from infra.resources.pre_auth_key import MACHINE_JOIN_HOURS
from infra.resources.wireguard_key import KeyPair
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings
from infra.targets.target import Arrival, Whereabouts


class Machine:
    """The target `metal`. It needs no cluster."""

    join_hours = MACHINE_JOIN_HOURS
    secret: str | None = None
    volume: pulumi.Output[str] | None = None
    awaited = True

    def __init__(
        self, _cluster: StackCluster, _settings: StackSettings, gateway: GatewaySettings, _opts: pulumi.ResourceOptions
    ) -> None:
        self._gateway = gateway

    def declare(self, identity: GatewayIdentity) -> Whereabouts:
        """Nothing but the handover: the playbook makes the rest."""
        return Whereabouts(
            peers_url=pulumi.Output.from_input(self._gateway.peers_url or ""), handover=self._handover(identity)
        )

    def arrival(self, exit_node: ExitNode | None, _opts: pulumi.ResourceOptions) -> Arrival:
        """Its playbook waits for it. Its node has no id before it has joined."""
        if exit_node is None:
            return Arrival(stood=None)
        return Arrival(stood=exit_node.node_id.apply(bool), whys=(exit_node.why,))

    def _handover(self, identity: GatewayIdentity) -> dict[str, pulumi.Input[object]]:
        return {
            "host": self._gateway.ssh_host,
            # As it was written: what it leaves out is the default on both sides.
            "gateway": self._gateway.model_dump(mode="json", exclude_unset=True, exclude={"private_key"}),
            "tokens": identity.tokens,
            **(_pair(identity.wireguard) if identity.wireguard else {}),
            **(_pair(identity.previous, "previous_") if identity.previous else {}),
            **(_of_the_mesh(identity.mesh) if identity.mesh else {}),
            **(_issuing(identity.issuer) if identity.issuer else {}),
        }


def _pair(key: KeyPair, prefix: str = "") -> dict[str, pulumi.Input[object]]:
    return {f"{prefix}private_key": key.private_key, f"{prefix}public_key": key.public_key}


def _issuing(issuer: IssuingCertificate) -> dict[str, pulumi.Input[object]]:
    return {"issuing_certificate": issuer.chain, "issuing_key": issuer.key}


def _of_the_mesh(mesh: MeshIdentity) -> dict[str, pulumi.Input[object]]:
    headscale: dict[str, pulumi.Input[object]] = {"url": mesh.server.url, "user": mesh.user}
    if mesh.server.ca_certificate:
        headscale["ca_certificate"] = mesh.server.ca_certificate
    return {"headscale": headscale, "pre_auth_key": mesh.pre_auth_key, "pre_auth_key_id": mesh.pre_auth_key_id}
