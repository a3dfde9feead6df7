"""What makes a gateway that gateway, wherever it runs."""

from dataclasses import dataclass

import pulumi

from infra.resources.certificate_authority import IssuingCertificate
from infra.resources.wireguard_key import KeyPair
from infra.settings.headscale import HeadscaleSettings


@dataclass(frozen=True)
class GatewayIdentity:
    """A gateway's keys and tokens; the tokens are secrets."""

    tokens: pulumi.Output[str]
    """The lines of the agent's token file."""
    admin_token: pulumi.Output[str]
    wireguard: KeyPair | None
    """None where WireGuard is not offered."""
    mesh: "MeshIdentity | None"
    """None of a plain gateway."""
    previous: KeyPair | None = None
    """WireGuard's key before that one, where devices may still use it."""
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
