"""What makes a gateway that gateway, wherever it runs."""

from dataclasses import dataclass

import pulumi

from infra.resources.certificate_authority import IssuingCertificate
from infra.settings.headscale import HeadscaleSettings


@dataclass(frozen=True)
class GatewayIdentity:
    """A gateway's keys; the first three are secrets."""

    private_key: pulumi.Output[str]
    tokens: pulumi.Output[str]
    """The lines of the agent's token file."""
    admin_token: pulumi.Output[str]
    public_key: pulumi.Output[str]
    mesh: "MeshIdentity | None"
    """None of a plain gateway."""
    issuer: IssuingCertificate | None = None
    """What devices get their certificates from; None where none has one."""


@dataclass(frozen=True)
class MeshIdentity:
    """As whom a gateway joins which mesh; the key is a secret."""

    server: HeadscaleSettings
    pre_auth_key: pulumi.Output[str]
    pre_auth_key_id: pulumi.Output[str]
    user: pulumi.Output[str]
    """The Headscale user whose node it is."""
