"""The way of a device: into the store first, then into the interface, then the answer; out in the other order.

So a device that was acknowledged is never lost, and one that is gone from the store was shut out before. Everything
that changes devices runs under one lock, and every step can be repeated: whatever a crash leaves half-done is made
whole by the caller's repetition or by `reconcile`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, TypeVarTuple

from gateway.agent.command import CommandError
from gateway.agent.errors import DeviceUnknownError, InvalidFieldError, UnavailableError
from gateway.agent.pool import Network, Pool, addresses
from gateway.agent.protocols.wireguard.wg import SeenInterface, SeenPeer, WantedPeer
from gateway.agent.store import Device, Sighting, Store

log = logging.getLogger(__name__)

CALL_BACK_WITHIN_S = 3600
"""A device heard from this recently is called when its session is lost; others are waited for."""
CALL_KEEPALIVE_S = 25
"""Any interval makes the interface call a device at once; it is taken back at the next `reconcile`."""

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class DataPlane(Protocol):
    """What devices need of the interface; CommandError whenever it cannot be had."""

    async def show(self) -> SeenInterface:
        """Everything the interface knows."""

    async def set_peer(self, peer: WantedPeer) -> None:
        """Let one peer in."""

    async def add_peers(self, peers: Sequence[WantedPeer]) -> None:
        """Let many peers in, with their endpoints and keepalives."""

    async def remove_peers(self, public_keys: Sequence[str]) -> None:
        """Shut peers out."""

    async def stop_keepalives(self, public_keys: Sequence[str]) -> None:
        """Take keepalives back."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """Who asks to come in. What is None is left as it is, or unset for a new device."""

    public_key: str
    name: str | None = None
    ttl_seconds: int | None = None
    preshared_key: str | None = field(default=None, repr=False)


class Devices:
    """All devices of the gateway, in the store and in the interface."""

    def __init__(
        self,
        store: Store,
        data_plane: DataPlane,
        networks: tuple[Network, ...],
        server_public_key: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._data_plane = data_plane
        self._networks = networks
        self._server_public_key = server_public_key
        self._clock = clock
        self._changes = asyncio.Lock()
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self.pool = Pool(networks, (device.number for device in store.everyone()), store.newest_number())

    async def register(self, wanted: Registration) -> tuple[Device, bool]:
        """Let a device in, new or known; the device and whether it is new.

        Raises InvalidFieldError, NameTakenError, PoolFullError, or UnavailableError when the interface is away.
        """
        if wanted.public_key == self._server_public_key:
            raise InvalidFieldError("this is the gateway's own public key; send the device's", "public_key")
        async with self._changes:
            known = await self._stored(self._store.find, wanted.public_key)
            device = await (self._renew(known, wanted) if known else self._admit(wanted))
            try:
                await self._data_plane.set_peer(self._wanted(device))
            except CommandError as error:
                log.warning("device %s is stored but not in the interface yet: %s", device.public_key, error)
                raise UnavailableError("the WireGuard interface is being restored; try again") from error
        return device, known is None

    async def _admit(self, wanted: Registration) -> Device:
        number = self.pool.choose()
        now = int(self._clock())
        device = Device(
            number=number,
            public_key=wanted.public_key,
            name=wanted.name,
            preshared_key=wanted.preshared_key,
            created_at=now,
            expires_at=now + wanted.ttl_seconds if wanted.ttl_seconds else None,
        )
        await self._stored(self._store.add, device)
        self.pool.hold(number)
        return device

    async def _renew(self, known: Device, wanted: Registration) -> Device:
        device = replace(
            known,
            name=wanted.name or known.name,
            preshared_key=wanted.preshared_key or known.preshared_key,
            expires_at=int(self._clock()) + wanted.ttl_seconds if wanted.ttl_seconds else known.expires_at,
        )
        if device != known:
            await self._stored(self._store.replace, device)
        return device

    async def revoke(self, public_key: str) -> None:
        """Shut a device out and forget it; DeviceUnknownError if it is unknown, UnavailableError if it stays in."""
        async with self._changes:
            device = await self.find(public_key)
            try:
                await self._remove([device])
            except CommandError as error:
                raise UnavailableError("the WireGuard interface is being restored; try again") from error

    async def expire(self) -> None:
        """Shut out and forget every device whose time is over; CommandError leaves them for the next time."""
        async with self._changes:
            over = await self._stored(self._store.expired, int(self._clock()))
            if over:
                await self._remove(over)
                log.info("%d devices expired", len(over))

    async def _remove(self, devices: Sequence[Device]) -> None:
        keys = [device.public_key for device in devices]
        await self._data_plane.remove_peers(keys)
        await self._stored(self._store.remove, keys)
        self.pool.release(device.number for device in devices)

    async def find(self, public_key: str) -> Device:
        """The device with this key; DeviceUnknownError if there is none."""
        device = await self._stored(self._store.find, public_key)
        if device is None:
            raise DeviceUnknownError("no peer has this public key", "public_key")
        return device

    async def page(self, after: int, limit: int) -> list[Device]:
        """At most `limit` devices in the order of their numbers, from the first above `after`."""
        return await self._stored(self._store.page, after, limit)

    def addresses(self, device: Device) -> tuple[str, ...]:
        """The device's own addresses in the tunnel: 10.77.0.5/32, fd77::5/128."""
        return addresses(self._networks, device.number)

    async def reconcile(self, seen: SeenInterface) -> None:
        """Bring the interface, as just seen, in line with the store, and note where devices are.

        Only what differs is touched. Devices missing from the interface (it is new, or somebody removed them) come
        back with their last endpoint, and those that were lately there are called: their own side would notice the
        loss of its session only after 15 s. CommandError when the interface is not there.
        """
        stored = {device.public_key: device for device in await self._stored(self._store.everyone)}
        if seen.peers.keys() - stored.keys() or await asyncio.to_thread(self._wrong, seen, stored.values()):
            await self._repair()
        if called := [key for key, peer in seen.peers.items() if peer.keepalive]:
            await self._data_plane.stop_keepalives(called)
        if sightings := [
            Sighting(key, peer.endpoint, peer.last_handshake)
            for key, peer in seen.peers.items()
            if (known := stored.get(key)) and peer.endpoint and _news(peer, known)
        ]:
            await self._stored(self._store.note, sightings)

    async def _repair(self) -> None:
        async with self._changes:  # a registration may have come between the two looks: look at both again
            seen = await self._data_plane.show()
            stored = {device.public_key: device for device in await self._stored(self._store.everyone)}
            if strangers := sorted(seen.peers.keys() - stored.keys()):
                log.warning("%d peers in the interface are unknown: removed", len(strangers))
                await self._data_plane.remove_peers(strangers)
            if wrong := await asyncio.to_thread(self._wrong, seen, stored.values()):
                log.info("%d devices brought into the interface", len(wrong))
                await self._data_plane.add_peers(
                    [self._wanted(stored[key], restore=key not in seen.peers) for key in wrong]
                )

    def _wrong(self, seen: SeenInterface, stored: Iterable[Device]) -> set[str]:
        """Keys of the stored devices that the interface does not have as they should be."""
        return {
            device.public_key
            for device in stored
            if (found := seen.peers.get(device.public_key)) is None
            or found.preshared_key != device.preshared_key
            or found.allowed_ips != frozenset(self.addresses(device))
        }

    def _wanted(self, device: Device, *, restore: bool = False) -> WantedPeer:
        lately = device.last_handshake > self._clock() - CALL_BACK_WITHIN_S
        return WantedPeer(
            public_key=device.public_key,
            allowed_ips=self.addresses(device),
            preshared_key=device.preshared_key,
            endpoint=device.endpoint if restore else None,
            keepalive=CALL_KEEPALIVE_S if restore and lately else 0,
        )

    async def _stored(self, call: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Run a method of the store in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._store_thread, call, *arguments)


def _news(seen: SeenPeer, known: Device) -> bool:
    return seen.last_handshake > 0 and (seen.endpoint, seen.last_handshake) != (known.endpoint, known.last_handshake)
