"""What makes a gateway that gateway, wherever it runs."""

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True)
class GatewayIdentity:
    """A gateway's keys, and its owner in the mesh; the first four are secrets."""

    private_key: pulumi.Output[str]
    tokens: pulumi.Output[str]
    """The lines of the agent's token file."""
    admin_token: pulumi.Output[str]
    pre_auth_key: pulumi.Output[str]
    pre_auth_key_id: pulumi.Output[str]
    public_key: pulumi.Output[str]
    user: pulumi.Output[str]
    """The Headscale user whose node it is."""
