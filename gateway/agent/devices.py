"""What a registration or a revocation does, and the end of a device's time. Who is known: `known_devices`.

A **registration** goes into the store, then the device is let in, then it is answered. It has three outcomes: in,
accepted (the protocol lets it in as soon as it can, within a second), or refused with nothing kept. Killed before
the commit, nothing is kept. Killed after it, the device is stored and comes in; the caller, who got no answer,
registers the same key again and is told so.

A **revocation** shuts the device out, then takes it from the store, then it is answered. From its first step on
nobody lets the device in again while this process lives. Killed before the device is gone from the store, it comes in
again; the caller, who got no answer, revokes it again. Two things can fail, and both are tried again every second:

- Shutting out: the store then says that the device's time is over. No later process lets it in.
- The store, as on a full disk: this process alone knows of the revocation. The answer says that. Of a shared store that
  is away this member's copy knows it, and so does the next process.

With a shared store each answer counts for all members, who may not have heard of it yet. So a registration that changes
nothing is confirmed by the store, and before a device is called unknown the store is asked.

A device whose time is over (`expiry`) is unknown to callers and is not let in, though it may still be stored. If its
key registers again it is a new device, with the old address. Revoking it makes sure that no clock brings it back.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from gateway.agent import audit
from gateway.agent.command import CommandError
from gateway.agent.errors import DeviceUnknownError, InvalidFieldError, UnavailableError
from gateway.agent.expiry import Lifetimes
from gateway.agent.pool import Network
from gateway.agent.protocol import AccessControl
from gateway.agent.registration import Admission, Left, Registration, given
from gateway.agent.store import REVOKED, Device, NumberTakenError, PostponedError, Store, StoreError, TakenError
from gateway.agent.stored_devices import StoredDevices, whole

log = logging.getLogger(__name__)

TRIES = 10
"""So often a registration is begun anew when another member was faster."""
HEARD_WITHIN_S = 1.0
"""Then this member knows what the other one did."""


class Devices(StoredDevices):
    """All devices of the gateway: those of the store whose time is not over, and only those, are let in."""

    def __init__(
        self,
        store: Store,
        access: AccessControl,
        networks: tuple[Network, ...],
        server_public_key: str | None,
        previous_public_key: str | None = None,
        *,
        renumber: bool = False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`server_public_key` is WireGuard's, where that is offered; a rotation has a previous one beside it.

        ValueError if devices would not keep their addresses in these networks, unless `renumber` allows that.
        """
        super().__init__(store, access, networks, Lifetimes(clock, monotonic), renumber=renumber)
        self._server_public_key = server_public_key
        self._previous_public_key = previous_public_key
        self._registrations = asyncio.Lock()
        """Registrations wait for each other first: of many, whatever else changes waits for one."""

    async def register(self, wanted: Registration) -> Admission:
        """Let a device in, or accept it. InvalidFieldError, PoolFullError and StoreError keep nothing of it."""
        if wanted.public_key in {self._server_public_key, self._previous_public_key}:
            raise InvalidFieldError("this is the gateway's own public key; send the device's", "public_key")
        audit.about(wanted.public_key)
        for _ in range(TRIES - 1):
            heard = self._heard
            try:
                return await whole(self._register(wanted))
            except TakenError:
                await _hear(heard)
        return await whole(self._register(wanted))

    async def _register(self, wanted: Registration) -> Admission:
        async with self._registrations, self._changes:
            stored = self._by_key.get(wanted.public_key)
            if stored and stored.protocol != wanted.protocol:
                raise InvalidFieldError(f"a device of {stored.protocol} has this key already", "public_key")
            known = None if stored is None or self._lifetimes.is_over(stored) else stored
            device = self._renewed(known, wanted) if known else self._new(stored, wanted)
            if stored is None:
                device = await self._added(device)
            elif device != stored or self.is_shared:  # another member may just have removed it
                await self._stored(self._store.replace, device)
            self._keep(device)
            if known is None or wanted.ttl_seconds is not Left.AS_IT_IS:
                self._lifetimes.begin(device.public_key, given(wanted.ttl_seconds, None))
            admission = Admission(device, is_new=known is None, is_in=await self._let_in(device))
        audit.registered(device, is_new=admission.is_new, is_in=admission.is_in)
        return admission

    async def _added(self, device: Device) -> Device:
        """The device as it was added: under the first of the next numbers that no other member has given out."""
        tries = 0
        while True:
            try:
                await self._stored(self._store.add, device)
            except NumberTakenError:
                if (tries := tries + 1) == TRIES:
                    raise
                self.pool.newest = device.number  # whose it is the news will tell
                device = replace(device, number=self.pool.choose())
            else:
                self.pool.hold(device.number)
                return device

    def _new(self, stored: Device | None, wanted: Registration) -> Device:
        return Device(
            number=stored.number if stored else self.pool.choose(),
            public_key=wanted.public_key,
            protocol=wanted.protocol,
            certified_key=wanted.certified_key,
            name=given(wanted.name, None),
            preshared_key=given(wanted.preshared_key, None),
            created_at=self._lifetimes.now(),
            expires_at=self._lifetimes.end(given(wanted.ttl_seconds, None)),
            server_key=self._server_public_key if wanted.protocol == "wireguard" else None,
        )

    def _renewed(self, known: Device, wanted: Registration) -> Device:
        ttl = wanted.ttl_seconds
        return replace(
            known,
            name=given(wanted.name, known.name),
            preshared_key=given(wanted.preshared_key, known.preshared_key),
            expires_at=known.expires_at if ttl is Left.AS_IT_IS else self._lifetimes.end(ttl),
        )

    async def revoke(self, public_key: str) -> None:
        """Shut a device out and forget it.

        DeviceUnknownError if it is not stored, UnavailableError if it is not out yet or not forgotten yet.
        """
        audit.about(public_key)
        for _ in range(TRIES):
            heard = self._heard
            try:
                await whole(self._revoke(public_key))
            except DeviceUnknownError:
                if not self.is_shared or not await self._stored(self._store.has, public_key):
                    raise
                await _hear(heard)  # another member has just registered it
            else:
                return
        raise UnavailableError("the device is only just becoming known to this member; try again")

    async def _revoke(self, public_key: str) -> None:
        ahead = await self._shut_out_ahead(public_key) if self.is_shared and self._changes.locked() else None
        async with self._changes:
            known = self._by_key.get(public_key)
            if known is None:
                if ahead is None:
                    raise DeviceUnknownError
                audit.revoked(ahead)  # `expire` has forgotten it meanwhile
                return
            device = replace(known, expires_at=REVOKED)
            self._keep(device)
            try:
                await self._put_out([device])
            except CommandError as error:
                with suppress(StoreError):  # then this process alone knows it
                    await self._stored(self._store.replace, device)
                raise UnavailableError(
                    f"the device cannot be shut out just now ({error}); the agent goes on trying and lets it in no more"
                ) from error
            try:
                await self._forget([device])
            except PostponedError as error:
                raise UnavailableError(
                    f"the device is shut out here, and by the other members as soon as the store is back: {error}; the "
                    "agent goes on trying, also after a restart"
                ) from error
            except StoreError as error:
                raise UnavailableError(
                    f"the device is shut out but not forgotten yet: {error}; the agent goes on trying, and if it is "
                    "restarted before that works the device comes in again"
                ) from error
        audit.revoked(known)

    async def _shut_out_ahead(self, public_key: str) -> Device | None:
        """Shut a device out before it is its turn, if there is one: the change before may be waiting for the store."""
        known = self._by_key.get(public_key)
        if known:
            device = replace(known, expires_at=REVOKED)
            self._keep(device)
            with suppress(CommandError):  # then it is tried again in its turn
                await self._put_out([device])
        return known

    async def expire(self) -> None:
        """Shut out every device whose time is over, and forget those that need not be kept.

        CommandError and StoreError leave the rest for the next time.
        """
        await whole(self._expire())

    async def _expire(self) -> None:
        async with self._changes:
            over = self._lifetimes.over(self._by_key.values())
            if back := self._shut_out.difference(device.public_key for device in over):  # a clock was set right
                self._shut_out -= back
                self._access.reconsider([self._by_key[key] for key in back])
            trouble = None
            new = [device for device in over if device.public_key not in self._shut_out]
            for protocol in {device.protocol for device in new}:
                own = [device for device in new if device.protocol == protocol]
                try:
                    await self._put_out(own)
                    audit.expired(own)
                except CommandError as error:
                    trouble = error  # those that cannot be shut out hold up no others
            if done := [one for one in over if one.public_key in self._shut_out and self._lifetimes.is_done(one)]:
                await self._forget(done)
                log.info("%d devices are forgotten, since their time is over", len(done))
            if trouble:
                raise trouble

    @property
    def has_previous_key(self) -> bool:
        """Whether devices may come in by a WireGuard key from before a rotation."""
        return self._previous_public_key is not None

    def unmoved(self) -> list[Device]:
        """Those that may be in and were not heard by the present WireGuard key yet; none unless there is a previous."""
        if self._previous_public_key is None:
            return []
        of_others = [
            key  # a scrape asks from a thread of its own, hence the list
            for key, device in list(self._by_key.items())
            if device.protocol == "wireguard" and device.server_key != self._server_public_key
        ]
        return list(self.among(of_others).values())


async def _hear(heard: asyncio.Event) -> None:
    """Give news of other members the time to come."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HEARD_WITHIN_S):
            await heard.wait()
