"""When a device's time is over: asked by all who let devices in, show them, shut them out or forget them.

The store has the end by the wall clock. A device that got its ttl from this process also ends by the monotonic clock.
So a wall clock that jumps back keeps none of these in; of a device from before the start only the wall clock tells.

A wall clock that jumps ahead shuts devices out too early. So one whose time is over by the wall clock alone is still
kept for `KEPT_S`, by the monotonic clock. If the wall clock is set right by then, the device comes in again.

What a revocation could not do at once is done when devices expire, too, as soon as it can be.
"""

import time
from collections.abc import Awaitable, Callable, Iterable

from gateway.agent.command import CommandError
from gateway.agent.store import REVOKED, Device, StoreError
from gateway.agent.tasks import repeat

EXPIRE_EVERY_S = 1.0
KEPT_S = 600.0
"""A clock that was wrong at the start of a machine is right again after a few minutes of NTP."""


class Lifetimes:
    """The ends of all devices, by two clocks."""

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ends: dict[str, float] = {}
        """By the monotonic clock, of devices that got their ttl from this process."""
        self._over_since: dict[str, float] = {}
        """When the monotonic clock stood there, a device was first found to be over."""

    def now(self) -> int:
        """Seconds since 1970."""
        return int(self._clock())

    def end(self, ttl_seconds: int | None) -> int | None:
        """When a ttl that begins now is over, in seconds since 1970; None without a ttl."""
        return None if ttl_seconds is None else self.now() + ttl_seconds

    def begin(self, public_key: str, ttl_seconds: int | None) -> None:
        """A device's time begins now, and ends after its ttl if it has one."""
        self.forget([public_key])
        if ttl_seconds is not None:
            self._ends[public_key] = self._monotonic() + ttl_seconds

    def forget(self, public_keys: Iterable[str]) -> None:
        """These devices are gone."""
        for key in public_keys:
            self._ends.pop(key, None)
            self._over_since.pop(key, None)

    def is_over(self, device: Device) -> bool:
        """Whether the device's time is over: it may not be in, and is unknown to callers."""
        return self._is_over(device, self._clock())

    def over(self, devices: Iterable[Device]) -> list[Device]:
        """Those whose time is over. Since when is remembered, for `is_done`."""
        now = self._clock()  # asked once for all: they may be 50,000
        found = [device for device in devices if device.expires_at is not None and self._is_over(device, now)]
        since = self._monotonic()
        self._over_since = {device.public_key: self._over_since.get(device.public_key, since) for device in found}
        return found

    def is_done(self, device: Device) -> bool:
        """Whether a device whose time is over need not be kept: no clock that is set right brings it back."""
        if device.expires_at == REVOKED or self._has_ended(device):
            return True
        since = self._over_since.get(device.public_key)
        return since is not None and self._monotonic() - since >= KEPT_S

    def _is_over(self, device: Device, now: float) -> bool:
        return device.expires_at is not None and (device.expires_at <= now or self._has_ended(device))

    def _has_ended(self, device: Device) -> bool:
        end = self._ends.get(device.public_key)
        return end is not None and end <= self._monotonic()


async def keep_expiring(expire: Callable[[], Awaitable[None]]) -> None:
    """Have devices shut out when their time is over (`Devices.expire`), until cancelled."""
    await repeat(expire, EXPIRE_EVERY_S, "devices whose time is over stay for now", CommandError, StoreError)
