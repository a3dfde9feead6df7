"""What the stack hands over to `playbooks/gateway.yml`, for a gateway on bare metal: all that makes it that gateway.

It is the stack's secret output `metal`, which the inventory plugin `meshgate_stack` reads.
"""

import pulumi

from infra.components.gateway_pod import Identity
from infra.settings.gateway import GatewaySettings
from infra.settings.top_level import StackSettings

JOIN_HOURS = 24
"""How long the machine may take to join by its pre-auth key."""


def handover(
    settings: StackSettings,
    gateway: GatewaySettings,
    identity: Identity,
    pre_auth_key_id: pulumi.Input[str],
    user: pulumi.Input[str],
) -> dict[str, pulumi.Input[object]]:
    """One gateway's part of the output."""
    headscale: dict[str, pulumi.Input[object]] = {"url": settings.headscale.url, "user": user}
    if settings.headscale.ca_certificate:
        headscale["ca_certificate"] = settings.headscale.ca_certificate
    return {
        "host": gateway.ssh_host,
        # As it was written: what it leaves out is the default on both sides.
        "gateway": gateway.model_dump(mode="json", exclude_unset=True),
        "headscale": headscale,
        "private_key": identity.private_key,
        "public_key": identity.public_key,
        "token": identity.token,
        "pre_auth_key": identity.pre_auth_key,
        "pre_auth_key_id": pre_auth_key_id,
    }
