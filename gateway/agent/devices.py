"""The way of a device: into the store, then let in, then the answer. When revoked or expired: shut out, then forgotten.

So a device that was acknowledged is never lost, and one that is gone from the store was shut out before. Every change
runs under one lock, and every step can be repeated. Whatever a crash leaves half-done is made whole by the caller's
repetition, or by the protocol, which compares itself with the store.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar, TypeVarTuple

from gateway.agent import audit
from gateway.agent.command import CommandError
from gateway.agent.errors import DeviceUnknownError, InvalidFieldError, UnavailableError
from gateway.agent.pool import Network, Pool, addresses
from gateway.agent.protocol import AccessControl
from gateway.agent.store import Device, Sighting, Store, StoreError

log = logging.getLogger(__name__)

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A device that asks to come in. A field that is None stays as it is, and is unset for a new device."""

    public_key: str
    name: str | None = None
    ttl_seconds: int | None = None
    preshared_key: str | None = field(default=None, repr=False)


class Devices:
    """All devices of the gateway: those in the store, and only those, are let in."""

    def __init__(
        self,
        store: Store,
        access: AccessControl,
        networks: tuple[Network, ...],
        server_public_key: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._access = access
        self._networks = networks
        self._server_public_key = server_public_key
        self._clock = clock
        self._changes = asyncio.Lock()
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self.pool = Pool(networks, (device.number for device in store.everyone()), store.newest_number())

    async def register(self, wanted: Registration) -> tuple[Device, bool]:
        """Let a device in, and tell whether it is new.

        Raises InvalidFieldError, NameTakenError, PoolFullError, or UnavailableError when the interface is away.
        """
        if wanted.public_key == self._server_public_key:
            raise InvalidFieldError("this is the gateway's own public key; send the device's", "public_key")
        audit.about(wanted.public_key)
        async with self._changes:
            known = await self._stored(self._store.find, wanted.public_key)
            device = await (self._renew(known, wanted) if known else self._admit(wanted))
            try:
                await self._access.let_in(device)
            except CommandError as error:
                log.warning("device %s is stored but not let in yet: %s", device.public_key, error)
                raise UnavailableError("the WireGuard interface is being restored; try again") from error
        audit.registered(device, is_new=known is None)
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
        audit.about(public_key)
        async with self._changes:
            device = await self.find(public_key)
            try:
                await self._remove([device])
            except CommandError as error:
                raise UnavailableError("the WireGuard interface is being restored; try again") from error
        audit.revoked(device)

    async def expire(self) -> None:
        """Shut out and forget every device whose time is over; CommandError leaves them for the next time."""
        async with self._changes:
            over = await self._stored(self._store.expired, int(self._clock()))
            if over:
                await self._remove(over)
                audit.expired(over)

    async def _remove(self, devices: Sequence[Device]) -> None:
        keys = [device.public_key for device in devices]
        await self._access.shut_out(keys)
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

    async def by_key(self) -> dict[str, Device]:
        """All devices, by their public keys."""
        return {device.public_key: device for device in await self._stored(self._store.everyone)}

    @asynccontextmanager
    async def unchanging(self) -> AsyncIterator[dict[str, Device]]:
        """All devices, by their public keys; none comes, changes or goes until the block ends."""
        async with self._changes:
            yield await self.by_key()

    async def store_problems(self) -> list[str]:
        """One sentence while the store cannot be written. It is asked to write once more if its last write failed."""
        if self._store.trouble is None:
            return []
        with suppress(StoreError):
            await self._stored(self._store.try_write)
        return [self._store.trouble] if self._store.trouble else []

    async def note(self, sightings: Iterable[Sighting]) -> None:
        """Keep where devices were last seen."""
        await self._stored(self._store.note, sightings)

    async def _stored(self, call: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Run a method of the store in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._store_thread, call, *arguments)
