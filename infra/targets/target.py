"""What an access mode asks of the place where a gateway runs; pod.py and machine.py answer it."""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.gateway_identity import GatewayIdentity
from infra.resources.exit_node import ExitNode


@dataclass(frozen=True)
class Arrival:
    """How a declared gateway comes up."""

    stood: pulumi.Output[bool] | None
    """Whether it stands or once stood; None of one that the stack never hears of."""
    whys: tuple[pulumi.Output[str], ...] = ()
    """Why it does not come up, each empty when it does."""


@dataclass(frozen=True)
class Whereabouts:
    """Where a gateway is found, once it is declared."""

    peers_url: pulumi.Input[str]
    """Where the orchestrator reaches the peer API."""
    namespace: pulumi.Input[str] | None = None
    deployment: pulumi.Input[str] | None = None
    """Its Deployment, whose log tells why it did not join."""
    resources: tuple[pulumi.Resource, ...] = ()
    """What must be there before the gateway can join."""
    handover: dict[str, pulumi.Input[object]] | None = None
    """What the playbook is to know of it."""


class Target(Protocol):
    """Where one gateway runs."""

    join_hours: int
    """How long its pre-auth key lives."""
    secret: str | None
    """The Secret in the stack's namespace that holds its keys; None where they are elsewhere."""
    volume: pulumi.Output[str] | None
    """What tells the volume from another one that has its identity in the mesh; None where the stack knows none."""
    awaited: bool
    """Whether it joins in its own time: then `up` does not wait for its node, and each `up` looks again."""

    def declare(self, identity: GatewayIdentity) -> Whereabouts:
        """Declare all that makes the place this gateway."""

    def arrival(self, exit_node: ExitNode | None, opts: pulumi.ResourceOptions) -> Arrival:
        """Wait until the declared gateway carries traffic, but not for one that is set up in its own time."""
