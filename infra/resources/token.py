"""Token: a random secret, made once and kept in the state."""

import hashlib
import secrets
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.resources.base import Props, Provider, secret_outputs
from infra.resources.connections import Connections

BYTES = 32


class TokenProvider(Provider):
    """Makes tokens; nothing outside the state knows of them."""

    INPUTS = ("rotation",)
    REPLACING = INPUTS

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """The id is a digest: it tells tokens apart and tells nothing of them."""
        value = secrets.token_urlsafe(BYTES)
        return hashlib.sha256(value.encode()).hexdigest()[:16], {"value": value}


class Token(Resource, module="meshgate", name="Token"):
    """A bearer token of 32 random bytes that stays the same until `rotation`, any text, changes."""

    value: Output[str]
    """43 characters, safe in URLs and headers; secret."""

    def __init__(self, name: str, *, rotation: Input[str] = "", opts: ResourceOptions | None = None) -> None:
        super().__init__(TokenProvider(), name, {"rotation": rotation, "value": None}, secret_outputs(opts, "value"))
