"""What a store of devices answers, whichever it is (`stores`), and what is kept of a device.

The methods block for as long as the store takes; `devices` calls them from one thread of their own, and one at a time.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

ProtocolName = Literal["wireguard", "openvpn", "ipsec"]

REVOKED = 0
"""The end of a device that was revoked and is still stored: no clock brings it back."""


class StoreError(Exception):
    """The store cannot be used; the text says why. A call that raises it has changed nothing, or says otherwise."""


class PostponedError(StoreError):
    """The store is away. What was asked for is kept on this member's volume, and is to be asked for again."""


class TakenError(StoreError):
    """Another member was faster: the device is another now, or its number is taken. `news` will tell."""


class NumberTakenError(TakenError):
    """The number is another device's, and the next one may be free."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A device that may come in. Times are whole seconds since 1970; `last_handshake` 0 means never seen."""

    number: int
    public_key: str
    """Its WireGuard key, or the digest of the key that its certificate is for (`certificate_requests`)."""
    protocol: ProtocolName = "wireguard"
    certified_key: bytes | None = None
    """The key that its certificate is for, as SubjectPublicKeyInfo in DER; None of a WireGuard device."""
    name: str | None = None
    preshared_key: str | None = field(default=None, repr=False)
    created_at: int
    expires_at: int | None = None
    endpoint: str | None = None
    last_handshake: int = 0
    server_key: str | None = None
    """The gateway's own WireGuard key that the device was last heard by, or was given before it was heard."""


@dataclass(frozen=True)
class Sighting:
    """Where a device was last heard from: its endpoint (address:port), the time of its handshake, and by which key."""

    public_key: str
    endpoint: str
    last_handshake: int
    server_key: str | None = None
    """The gateway's own WireGuard key; None by another protocol."""


News = Callable[[], Mapping[str, Device | None]]
"""What other members changed. The call, in the store's thread, takes it up and gives each device that is another now by
its public key, and None for one that is gone."""


class Store(Protocol):
    """All devices, by public key. StoreError where a call cannot be done."""

    is_shared: bool
    """Whether other members use it, too. Then it may be away for a while, and traffic goes on."""
    trouble: str | None
    """Why the last write failed, if it did."""

    def close(self) -> None:
        """Let go of the store; nothing is lost without it."""

    def add(self, device: Device) -> None:
        """Add a device that is not known yet, under a number that is free; TakenError if one of both is not so."""

    def replace(self, device: Device) -> None:
        """Change all that is known of a device but its number, its protocol and its key; TakenError if it has changed.

        Where nothing is changed it is made sure that this is how it is. One whose end is REVOKED stays so, whatever
        others do to it.
        """

    def remove(self, devices: Sequence[Device]) -> None:
        """Forget devices; those that are not known are passed over.

        Those whose end is REVOKED go whatever others do to them. After a PostponedError they are revoked ones, also for
        the next agent on this volume. The others stay if another member has changed them: `news` will tell.
        """

    def note(self, sightings: Iterable[Sighting]) -> None:
        """Keep where devices were last seen, for this member; unknown ones are passed over."""

    def try_write(self) -> None:
        """Write what changes nothing."""

    def has(self, public_key: str) -> bool:
        """Whether this device is known now, to the store itself: `news` of it may still be on their way."""

    def everyone(self) -> list[Device]:
        """All devices."""

    def newest_number(self) -> int:
        """The number that was given out last; 0 before the first."""

    def client_networks(self) -> set[str]:
        """The networks that the devices' addresses are of; empty if nobody has said it yet."""

    def settle(self, client_networks: Iterable[str], moved: Mapping[str, int]) -> None:
        """Keep the networks that addresses are of from now on, and the new numbers of devices, which must be free."""

    def news(self) -> AsyncGenerator[News, None]:
        """What other members change, in order, as soon as it is known."""
