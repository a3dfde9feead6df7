"""Devices that are kept in line with their store: what is let go of, what other members change, what is noted.

Each change is made whole, one after another. News of other members (`Store.news`) are such changes, too: whoever they
have removed is shut out at once, whoever they have added is let in.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, TypeVar, TypeVarTuple

from gateway.agent import audit
from gateway.agent.command import CommandError
from gateway.agent.expiry import Lifetimes
from gateway.agent.known_devices import KnownDevices
from gateway.agent.pool import Network
from gateway.agent.protocol import AccessControl, AwayError
from gateway.agent.store import REVOKED, Device, News, Sighting, Store, StoreError

log = logging.getLogger(__name__)

FEW = 10
"""News of so many devices are taken to their protocols one by one; of more, when these look next."""

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class StoredDevices(KnownDevices):
    """The devices of the store, and who may be in of them."""

    def __init__(
        self,
        store: Store,
        access: AccessControl,
        networks: tuple[Network, ...],
        lifetimes: Lifetimes,
        *,
        renumber: bool,
    ) -> None:
        super().__init__(store, networks, lifetimes, renumber=renumber)
        self._store = store
        self._access = access
        self._changes = asyncio.Lock()
        self._heard = asyncio.Event()
        """Set when the next news of other members were taken up."""
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self.left_behind = asyncio.Event()
        """Set when devices were shut out, whose connections then have to end (`flows`)."""

    @property
    def is_shared(self) -> bool:
        """Whether other members change the devices, too."""
        return self._store.is_shared

    @asynccontextmanager
    async def unchanging(self, public_keys: Iterable[str]) -> AsyncIterator[dict[str, Device]]:
        """Those of these keys whose devices may be in; none comes, changes or goes until the block ends."""
        async with self._changes:
            yield self.among(public_keys)

    async def store_problems(self) -> list[str]:
        """One sentence while the store cannot be written. It is asked to write once more if its last write failed."""
        if self._store.trouble is None:
            return []
        if not self.is_shared:  # a shared one looks by itself
            with suppress(StoreError):
                await self._stored(self._store.try_write)
        return [self._store.trouble] if self._store.trouble else []

    async def note(self, sightings: Iterable[Sighting]) -> None:
        """Keep where devices were last seen; StoreError if that is not kept."""
        seen = list(sightings)
        async with self._changes:
            await self._stored(self._store.note, seen)
            for one in seen:
                if device := self._by_key.get(one.public_key):
                    device = replace(
                        device, endpoint=one.endpoint, last_handshake=one.last_handshake, server_key=one.server_key
                    )
                    self._by_key[one.public_key] = self._by_number[device.number] = device

    async def follow(self) -> None:
        """Take up what other members change, until cancelled."""
        async with aclosing(self._store.news()) as news:
            async for one in news:
                await whole(self._take_up(one))

    async def _take_up(self, news: News) -> None:
        async with self._changes:
            changes = await self._stored(news)
            await self._let_go([self._by_key[key] for key, now in changes.items() if not now and key in self._by_key])
            came = [device for device in changes.values() if device]
            for device in came:
                self._take_in(device)
            alive = list(self.among(device.public_key for device in came).values())
            if len(alive) > FEW:
                self._access.reconsider(alive)
            else:
                for device in alive:
                    await self._let_in(device)
            self._heard.set()
            self._heard = asyncio.Event()
        if changes:
            log.info("other members have changed %d devices", len(changes))

    def _take_in(self, device: Device) -> None:
        known = self._by_key.get(device.public_key)
        if known and known.number != device.number:
            self._drop([known])
            self.left_behind.set()
        if known is None or known.number != device.number:
            self.pool.hold(device.number)
        if known and known.expires_at != device.expires_at:
            self._lifetimes.forget([device.public_key])
        self._keep(device)

    async def _let_go(self, devices: Sequence[Device]) -> None:
        """Shut out and drop devices that other members have removed. Who cannot be shut out now is, by `expire`."""
        over = [replace(device, expires_at=REVOKED) for device in devices]
        for device in over:
            self._keep(device)
        try:
            await self._put_out(over)
        except CommandError as error:
            log.warning("%d devices that are gone may still be in: %s", len(over), error)
        else:
            self._drop(over)

    async def _let_in(self, device: Device) -> bool:
        try:
            await self._access.let_in(device)
        except CommandError as error:
            log.warning("device %s is stored and comes in later: %s", audit.shortened(device.public_key), error)
            return False
        return True

    async def _put_out(self, devices: Sequence[Device]) -> None:
        if not devices:
            return
        with suppress(AwayError):  # then nobody is in
            await self._access.shut_out(devices)
        self._shut_out.update(device.public_key for device in devices)
        self.left_behind.set()

    async def _forget(self, devices: Sequence[Device]) -> None:
        await self._stored(self._store.remove, devices)
        self._drop(devices)
        self.left_behind.set()

    async def _stored(self, call: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Run a method of the store in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._store_thread, call, *arguments)


async def whole(change: Coroutine[Any, Any, Result]) -> Result:
    """The result of a change that goes on to its end, also if whoever waits for it does not."""
    return await asyncio.shield(asyncio.ensure_future(change))
