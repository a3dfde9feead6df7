"""Standing: which gateways stand or once stood, known in a preview too.

What a gateway's own resources learn is unknown in the preview of each change of theirs, and the app's env would seem to
change with it. What stood once goes on to count: its clients' configs hold while it is ill.
"""

from collections.abc import Mapping
from typing import Any

from pulumi import Input, Output, ResourceOptions, contains_unknowns
from pulumi.dynamic import DiffResult, Resource
from typing_extensions import override

from infra.resources.base import Props, Provider
from infra.resources.connections import Connections


class StandingProvider(Provider):
    """Keeps the names; nothing outside the state knows of them."""

    INPUTS = ("stood",)

    @override
    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Whether a name comes or goes. A gateway of which a preview does not know is expected to stand."""
        return DiffResult(changes=_standing(_news["stood"]) != _olds["names"])

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """There is one in a stack."""
        return "standing", self.change(connections, "", {}, props)

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """The names as they are now."""
        return {"names": _standing(news["stood"])}


def _standing(gateways: Mapping[str, object]) -> list[str]:
    return sorted(name for name, stood in gateways.items() if contains_unknowns(stood) or stood)


class Standing(Resource, module="meshgate", name="Standing"):
    """Of the gateways in `stood` those that stand or once stood."""

    names: Output[list[str]]

    def __init__(self, name: str, *, stood: Mapping[str, Input[bool]], opts: ResourceOptions | None = None) -> None:
        super().__init__(StandingProvider(), name, {"stood": stood, "names": None}, opts)
