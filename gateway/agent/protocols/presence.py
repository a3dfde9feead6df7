"""Who of a protocol's devices is there: as looks at its sessions find, and as it is kept."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from gateway.agent.devices import Devices
from gateway.agent.store import Sighting, StoreError

NOTED_EVERY_S = 120
"""How often it is kept that a device is still there."""
KNOWN_S = 86400
"""So long after a device was there it counts for nobody any more."""


class Presence:
    """When devices were last there."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}
        """By the wall clock."""

    async def note(self, devices: Devices, endpoints: Mapping[str, str]) -> None:
        """These are there now, at their endpoints (address:port)."""
        now = self._clock()
        known = devices.among(endpoints)
        self._seen |= dict.fromkeys(known, now)
        self._seen = {key: when for key, when in self._seen.items() if key in known or now - when < KNOWN_S}
        news = [
            Sighting(key, endpoints[key], int(now))
            for key, device in known.items()
            if device.endpoint != endpoints[key] or now - device.last_handshake >= NOTED_EVERY_S
        ]
        if news:
            with suppress(StoreError):
                await devices.note(news)

    def heard_within(self, seconds: int) -> int:
        """How many devices were there no longer ago, as of the last look."""
        since = self._clock() - seconds
        return sum(seen >= since for seen in self._seen.values())
