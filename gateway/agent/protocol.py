"""What the agent asks of a protocol by which devices get in. The protocols that answer are in `protocols`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.agent.command import CommandError
from gateway.agent.store import Device

ProfileFormat = Literal["conf", "qr", "ovpn", "swanctl", "mobileconfig", "sswan", "powershell"]
"""The kinds of files by which stock clients get ready."""


class AwayError(CommandError):
    """What devices come in by is not there, so nobody is in."""


@dataclass(frozen=True)
class Traffic:
    """Bytes inside the tunnels, since these exist."""

    received: int
    sent: int


class AccessControl(Protocol):
    """Lets devices in and shuts them out; CommandError when that is not possible just now, AwayError if nobody is in.

    A protocol also compares itself with `Devices` again and again: who is not let in here comes in within a second.
    """

    async def let_in(self, device: Device) -> None:
        """Let a device in. If it is in already, it gets what changed, and its session goes on."""

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """Shut devices out and end their sessions, at once. Those that are not in are passed over."""

    def reconsider(self, devices: Sequence[Device]) -> None:
        """What `Devices` says of these has changed: bring them in line within a second."""


class AccessStatus(Protocol):
    """Tells what the protocol needs, who is there and how much passes."""

    part: str
    """What readiness calls it."""

    async def problems(self) -> list[str]:
        """What keeps devices from getting in, one sentence each; CommandError when that cannot be told."""

    def heard_within(self, seconds: int) -> int:
        """How many devices had their last handshake no longer ago."""

    def traffic(self) -> Traffic | None:
        """What has passed; None when there is no tunnel just now."""
