"""WireGuardKey: a gateway's key pair, made once and kept in the state, or taken over from a state that was lost.

The app knows its public half as HEADSCALE_SERVER_PUBLIC_KEY. A rotation may keep the pair before it, too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import DiffResult, Resource
from typing_extensions import override

from infra.resources.base import Props, Provider, ResourceError, secret_outputs
from infra.resources.connections import Connections
from infra.secret_contents import PREVIOUS_PRIVATE_KEY, PRIVATE_KEY

_SAME_KEY = (
    "`key_rotation` would make a new WireGuard key, and `private_key` is the one that there is: take `private_key` "
    "out, or give another one."
)
_NO_PREVIOUS = (
    "`previous_key` is set, and there is no WireGuard key before the present one: give another `key_rotation` together "
    "with it, or leave it out."
)
_UNDER_WAY = (
    "there would be a new WireGuard key, and the one before the present one is still kept: first take `previous_key` "
    "out and leave `key_rotation` and `private_key` as they are, run `pulumi up`, and then rotate again."
)


@dataclass(frozen=True)
class KeyPair:
    """44 characters of base64 each; the private one is secret."""

    private_key: Output[str]
    public_key: Output[str]


class WireGuardKeyProvider(Provider):
    """Makes key pairs; nothing outside the state knows of them."""

    INPUTS = ("adopt", "rotation")

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """What is made anew has no key before it, but where a lost state left one."""
        wanted = not olds and news.get("keep_previous")
        if wanted and PREVIOUS_PRIVATE_KEY not in connections.left_behind(news.get("kept_in")):
            yield "", _NO_PREVIOUS

    @override
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Another key is a replacement, or an update where the one before it is kept. ResourceError if neither can be.

        An adopted key is a change only if it is another one than there is.
        """
        changed = _changed(_olds, _news)
        keeps, kept = bool(_news.get("keep_previous")), bool(_olds.get("previous_private_key"))
        problem = ""
        if changed == ["rotation"] and _news.get("adopt") is not None:
            problem = _SAME_KEY
        elif kept and changed:
            problem = _UNDER_WAY
        elif keeps and not kept and not changed:
            problem = _NO_PREVIOUS
        if problem:
            with self._operation():
                raise ResourceError(problem)
        return DiffResult(changes=bool(changed) or keeps != kept, replaces=[] if keeps else changed)

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """The id is the first public key."""
        left = connections.left_behind(props.get("kept_in"))
        made = _pair(props.get("adopt") or left.get(PRIVATE_KEY))
        previous = left.get(PREVIOUS_PRIVATE_KEY) if props.get("keep_previous") else None
        return made["public_key"], {**made, **_previous(_pair(previous) if previous else {})}

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """A new pair with the one before it, or the same pair alone."""
        if not news.get("keep_previous"):
            return {**_own(olds), **_previous({})}
        return {**_pair(news.get("adopt")), **_previous(_own(olds))}


def _changed(olds: Props, news: Props) -> list[str]:
    """Which inputs ask for another key."""
    adopt = news.get("adopt")
    changed = [] if adopt is None or adopt == olds["private_key"] else ["adopt"]
    return changed + (["rotation"] if news.get("rotation") != olds.get("rotation") else [])


def _pair(private_key: str | None) -> dict[str, str]:
    """That key's pair, or a new one."""
    from infra import curve25519  # here, so that a preview does not wait for the import of its arithmetic

    private_key = private_key or curve25519.generate_private_key()
    return {"private_key": private_key, "public_key": curve25519.public_key(private_key)}


def _own(props: Props) -> dict[str, str]:
    return {name: props[name] for name in ("private_key", "public_key")}


def _previous(pair: dict[str, str]) -> dict[str, str]:
    """The outputs of the pair before; empty where none is kept."""
    return {f"previous_{name}": pair.get(name, "") for name in ("private_key", "public_key")}


class WireGuardKey(Resource, module="meshgate", name="WireGuardKey"):
    """A WireGuard key pair that stays the same until `rotation` changes.

    Inputs: `rotation`, any text; `adopt`, an existing private key to use instead of a new one (as a secret), which may
    be taken out again; `keep_previous`, whether the pair before the present one is kept; `kept_in`, the Secret in which
    the gateway has them, for a state that takes over from a lost one.
    """

    private_key: Output[str]
    public_key: Output[str]
    previous_private_key: Output[str]
    previous_public_key: Output[str]

    def __init__(
        self,
        name: str,
        *,
        rotation: Input[str] = "",
        adopt: Input[str] | None = None,
        keep_previous: bool = False,
        kept_in: str | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        inputs = {"rotation": rotation, "adopt": adopt, "keep_previous": keep_previous, "kept_in": kept_in}
        outputs = ("private_key", "public_key", "previous_private_key", "previous_public_key")
        secret = secret_outputs(opts, "private_key", "previous_private_key", "adopt")
        super().__init__(WireGuardKeyProvider(), name, {**inputs, **dict.fromkeys(outputs)}, secret)

    @property
    def pair(self) -> KeyPair:
        """The gateway's own."""
        return KeyPair(self.private_key, self.public_key)

    @property
    def previous_pair(self) -> KeyPair:
        """The one before it, where that is kept."""
        return KeyPair(self.previous_private_key, self.previous_public_key)
