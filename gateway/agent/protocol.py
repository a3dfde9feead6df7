"""What the agent asks of a protocol by which devices get in. The protocols that answer are in `protocols`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.agent.store import Device


@dataclass(frozen=True)
class Traffic:
    """Bytes inside the tunnels, since these exist."""

    received: int
    sent: int


class AccessControl(Protocol):
    """Lets devices in and shuts them out; CommandError when that is not possible just now."""

    async def let_in(self, device: Device) -> None:
        """Let a device in. If it is in already, it gets what changed, and its session goes on."""

    async def shut_out(self, public_keys: Sequence[str]) -> None:
        """Shut devices out and end their sessions, at once. Those that are not in are passed over."""


class AccessStatus(Protocol):
    """Tells what the protocol needs, who is there and how much passes."""

    async def problems(self) -> list[str]:
        """What keeps devices from getting in, one sentence each; CommandError when that cannot be told."""

    def heard_within(self, seconds: int) -> int:
        """How many devices had their last handshake no longer ago."""

    def traffic(self) -> Traffic | None:
        """What has passed; None when there is no tunnel just now."""
