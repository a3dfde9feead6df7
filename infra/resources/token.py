"""Token: a gateway's bearer token and those before and after it, made once, kept in the state, rotated in turn.

The orchestrator's next token is known to the gateway before anybody uses it, and its last one stays good until the
rotation after. So it does not matter when the gateway and the orchestrator hear of a rotation, nor who hears first.
"""

import hashlib
import secrets
from collections.abc import Iterator
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.resources.base import Props, Provider, secret_outputs
from infra.resources.connections import STILL_IN_THE_MESH, Connections
from infra.secret_contents import TOKENS, token_file, tokens

BYTES = 32


class TokenProvider(Provider):
    """Makes tokens; nothing outside the state knows of them."""

    INPUTS = ("rotation",)

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """A gateway says so before its stack forgets the mesh that it is in."""
        if olds.get("headscale") and news.get("headscale") is None:
            yield "", STILL_IN_THE_MESH

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """The id is a digest of the first token."""
        left = tokens(connections.left_behind(props.get("kept_in")).get(TOKENS, ""))
        made = left or {"value": _new(), "previous": "", "next": _new(), "admin": _new()}
        return digest(made["value"]), dict(made)

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """One step of the rotation: the next one becomes the value, and the one before the last is void."""
        return {"value": olds["next"], "previous": olds["value"], "next": _new(), "admin": _new()}


def _new() -> str:
    return secrets.token_urlsafe(BYTES)


def digest(token: str) -> str:
    """It tells tokens and other texts apart, and tells nothing of a random one."""
    return hashlib.sha256(token.encode()).hexdigest()[:16]


class Token(Resource, module="meshgate", name="Token"):
    """Bearer tokens of 32 random bytes; `rotation` is any text, and another text rotates them.

    `headscale` is the URL of its gateway's mesh, empty where the gateway is not to be in it, None where there is none.
    `kept_in` is the Secret with the token file, for a state that takes over from a lost one.
    Each has 43 characters, safe in URLs and headers, and is secret.
    """

    value: Output[str]
    """The orchestrator's."""
    previous: Output[str]
    """What the orchestrator had before, and may have still; empty before the first rotation."""
    next: Output[str]
    """What the orchestrator gets at the next rotation."""
    admin: Output[str]
    """The operator's."""

    def __init__(
        self,
        name: str,
        *,
        rotation: Input[str] = "",
        headscale: str | None = None,
        kept_in: str | None = None,
        opts: ResourceOptions | None = None,
    ) -> None:
        outputs = ("value", "previous", "next", "admin")
        props = {"rotation": rotation, "headscale": headscale, "kept_in": kept_in, **dict.fromkeys(outputs)}
        super().__init__(TokenProvider(), name, props, secret_outputs(opts, *outputs))

    @property
    def file(self) -> Output[str]:
        """The token file of whoever is asked with them; secret."""
        return Output.all(self.value, self.previous, self.next, self.admin).apply(
            lambda tokens: token_file(tokens[:-1], admin=tokens[-1])
        )
