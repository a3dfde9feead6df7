"""WireGuardKey: a gateway's key pair, made once and kept in the state, or taken over from a state that was lost.

The app knows its public half as HEADSCALE_SERVER_PUBLIC_KEY.
"""

from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import DiffResult, Resource
from typing_extensions import override

from infra.resources.base import Props, Provider, ResourceError, secret_outputs
from infra.resources.connections import Connections
from infra.secret_contents import PRIVATE_KEY


class WireGuardKeyProvider(Provider):
    """Makes key pairs; nothing outside the state knows of them."""

    INPUTS = ("adopt", "rotation")

    @override
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """An adopted key is a change only if it is another one than there is. ResourceError if both it and not it."""
        adopt = _news.get("adopt")
        same = adopt is None or adopt == _olds["private_key"]
        rotated = _news.get("rotation") != _olds.get("rotation")
        if same and adopt is not None and rotated:
            with self._operation():
                raise ResourceError(
                    "`key_rotation` would make a new WireGuard key, and `private_key` is the one that there is: take "
                    "`private_key` out, or give another one."
                )
        changed = [*([] if same else ["adopt"]), *(["rotation"] if rotated else [])]
        return DiffResult(changes=bool(changed), replaces=changed)

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """The id is the public key."""
        from infra import curve25519  # here, so that a preview does not wait for the import of its arithmetic

        left = connections.left_behind(props.get("kept_in")).get(PRIVATE_KEY)
        private_key = props.get("adopt") or left or curve25519.generate_private_key()
        public_key = curve25519.public_key(private_key)
        return public_key, {"private_key": private_key, "public_key": public_key}


class WireGuardKey(Resource, module="meshgate", name="WireGuardKey"):
    """A WireGuard key pair that stays the same until `rotation` changes.

    Inputs: `rotation`, any text; `adopt`, an existing private key to use instead of a new one (as a secret), which may
    be taken out again; `kept_in`, the Secret in which the gateway has it, for a state that takes over from a lost one.
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
