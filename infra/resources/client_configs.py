"""ClientConfigs: what the configs of a stack's clients hold, kept in the state, so that a loss is told before it is.

The preview compares what it was with what it would be. With `protect` it refuses what would make configs useless.
What ends with a resource that the engine protects is left to the engine, which lets it go by name (docs/policies.md).
"""

import logging
from typing import TYPE_CHECKING, Any

from pulumi import Input, ResourceOptions
from pulumi.dynamic import CheckFailure, CheckResult, Resource
from typing_extensions import override

from infra import previous_keys
from infra.previous_keys import PREVIOUS
from infra.protection import ALLOWANCE
from infra.resources.base import Props, Provider
from infra.resources.connections import Connections

if TYPE_CHECKING:
    from infra.client_configs import Loss

log = logging.getLogger("meshgate")


class ClientConfigsProvider(Provider):
    """Keeps its inputs; nothing outside the state knows of them."""

    INPUTS = ("gateways", "headscale_url")

    @override
    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Refuse losses, or tell them: in the log, and as the input `lost`, which a review reads.

        Who still uses a key that was rotated is told each time.
        """
        same = all(_olds.get(name) in (None, news.get(name)) for name in self.INPUTS)
        if same and not any(PREVIOUS in held for held in news["gateways"].values()):
            return CheckResult(news, [])
        with self._operation() as connections:
            lost = _lost(connections, _olds, news)
        refused = [one for one, loss in lost.items() if news["protect"] and not loss.guarded]
        for one in lost:
            if one not in refused:
                log.warning("%s", one)
        return CheckResult(
            {**news, "lost": list(lost)} if lost else news, [CheckFailure("", f"{one} {ALLOWANCE}") for one in refused]
        )

    @override
    def make(self, connections: Connections, props: Props) -> tuple[str, dict[str, Any]]:
        """There is one in a stack."""
        return "client-configs", {}

    @override
    def change(self, connections: Connections, id_: str, olds: Props, news: Props) -> dict[str, Any]:
        """Whoever is told of new configs hears it from the gateways."""
        return {}


def _lost(connections: Connections, olds: Props, news: Props) -> dict[str, "Loss"]:
    """Each loss by its sentence, which has the number of devices where a gateway tells it; rotations are told."""
    # Here, so that a preview without changes does not wait for the settings' import.
    from infra.client_configs import ASKED_AT, losses, moved
    from infra.resources import registered_devices

    before = olds.get("gateways") or {}
    lost = [*losses(before, news["gateways"]), *moved(olds.get("headscale_url"), news.get("headscale_url"))]
    rotated = {name for name, held in news["gateways"].items() if PREVIOUS in held}
    concerned = rotated.union(loss.gateway for loss in lost)
    asked = {name: place for name in concerned if (place := before.get(name, {}).get(ASKED_AT))}
    counted = registered_devices.counted(connections, asked)
    for sentence in previous_keys.told(before, news["gateways"], counted):
        log.warning("%s", sentence)
    somebodys = (loss for loss in lost if not loss.is_nobodys(counted.get(loss.gateway)))
    return {loss.sentence(counted.get(loss.gateway)): loss for loss in somebodys}


class ClientConfigs(Resource, module="meshgate", name="ClientConfigs"):
    """What clients' configs hold of each gateway, by its name (`infra.client_configs.Held`), and the mesh's URL.

    `protect` refuses what would make configs useless. `lost` in its state is what its last change did.
    """

    def __init__(
        self,
        name: str,
        *,
        gateways: Input[dict[str, Any]],
        headscale_url: str | None,
        protect: bool,
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {"gateways": gateways, "headscale_url": headscale_url, "protect": protect}
        super().__init__(ClientConfigsProvider(), name, props, opts)
