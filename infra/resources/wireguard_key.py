"""WireGuardKey: a gateway's key pair, made once and kept in the state, or taken over from a state that was lost.

The app knows its public half as HEADSCALE_SERVER_PUBLIC_KEY.
"""

from collections.abc import Iterator
from typing import Any

from pulumi import Input, Output, ResourceOptions, contains_unknowns
from pulumi.dynamic import Resource
from typing_extensions import override

from infra import curve25519
from infra.resources.base import Props, Provider, secret_outputs
from infra.resources.connections import Connections
from infra.secret_contents import PRIVATE_KEY


class WireGuardKeyProvider(Provider):
    """Makes key pairs; nothing outside the state knows of them."""

    INPUTS = ("adopt", "rotation")
    REPLACING = INPUTS

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """An adopted key must be one."""
        adopt = news.get("adopt")
        if adopt is None or contains_unknowns(adopt):
            return
        try:
            curve25519.parse_key(adopt)
        except ValueError as error:
            yield "adopt", str(error)

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """The id is the public key."""
        left = connections.left_behind(props.get("kept_in")).get(PRIVATE_KEY)
        private_key = props.get("adopt") or left or curve25519.generate_private_key()
        public_key = curve25519.public_key(private_key)
        return public_key, {"private_key": private_key, "public_key": public_key}


class WireGuardKey(Resource, module="meshgate", name="WireGuardKey"):
    """A WireGuard key pair that stays the same until `rotation` changes.

    Inputs: `rotation`, any text; `adopt`, an existing private key to use instead of a new one (give it as a secret);
    `kept_in`, the Secret in which the gateway has it, for a state that takes over from a lost one.
    """

    private_key: Output[str]
    """44 characters of base64; secret."""
    public_key: Output[str]
    """44 characters of base64."""

    def __init__(
        self,
        name: str,
        *,
        rotation: Input[str] = "",
        adopt: Input[str] | None = None,
        kept_in: str | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"rotation": rotation, "adopt": adopt, "kept_in": kept_in}
        outputs = {"private_key": None, "public_key": None}
        super().__init__(
            WireGuardKeyProvider(), name, {**inputs, **outputs}, secret_outputs(opts, "private_key", "adopt")
        )
