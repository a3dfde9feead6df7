"""StackId: what tells a stack's state from every other, also from another state of the same name.

All that the stack declares in the cluster is labelled with it (infra/kubernetes/ownership.py).
"""

import secrets
from typing import Any

from pulumi import Output, ResourceOptions
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.resources.base import Props, Provider
from infra.resources.connections import Connections

BYTES = 16


class StackIdProvider(Provider):
    """Makes the id once; the state is its home."""

    INPUTS = ()

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """At random."""
        value = secrets.token_hex(BYTES)
        return value, {"value": value}


class StackId(Resource, module="meshgate", name="StackId"):
    """32 hexadecimal digits, made with the stack's first resource and never changed."""

    value: Output[str]

    def __init__(self, name: str, *, opts: ResourceOptions | None = None) -> None:
        super().__init__(StackIdProvider(), name, {"value": None}, opts)
