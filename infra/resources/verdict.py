"""Verdict: ends an `up` with an error when a gateway does not stand, after all that the others can do without it."""

from collections.abc import Iterator, Sequence
from typing import Any

from pulumi import Input, ResourceOptions, contains_unknowns
from pulumi.dynamic import Resource
from typing_extensions import override

from infra.resources.base import Props, Provider
from infra.resources.connections import Connections


class VerdictProvider(Provider):
    """Refuses what failed. Nothing of it is kept, and so nothing is left to be done once all is well."""

    INPUTS = ()

    @override
    def refusals(self, connections: Connections, olds: Props, news: Props) -> Iterator[tuple[str, str]]:
        """All that failed, as one: Pulumi ends with the first. A preview does not know of any."""
        failed = [] if contains_unknowns(news["whys"]) else list(filter(None, news["whys"]))
        if failed:
            yield "", "\n".join(failed)

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """There is one in a stack."""
        return "verdict", {}


class Verdict(Resource, module="meshgate", name="Verdict"):
    """Fails with the sentences of `whys`, of which each is empty when all is well."""

    def __init__(self, name: str, *, whys: Sequence[Input[str]], opts: ResourceOptions | None = None) -> None:
        super().__init__(VerdictProvider(), name, {"whys": whys}, opts)
