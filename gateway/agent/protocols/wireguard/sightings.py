"""Where peers were last heard from, kept in the store. What cannot be written waits; nothing else waits for it."""

import logging
import time
from collections.abc import Iterable

from gateway.agent.devices import Devices
from gateway.agent.protocols.wireguard.wg import SeenPeer
from gateway.agent.store import Device, Sighting, StoreError

log = logging.getLogger(__name__)

PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Sightings:
    """Those that are not in the store yet, one per peer at most."""

    def __init__(self) -> None:
        self._waiting: dict[str, Sighting] = {}
        self._trouble: str | None = None
        self._pause_s = PAUSE_S
        self._not_before = 0.0
        """When the store is asked again, on the monotonic clock."""

    def collect(self, seen: Iterable[tuple[str, SeenPeer | None]]) -> None:
        """Take these peers' endpoints and handshakes for the next `write`."""
        for key, peer in seen:
            if peer and peer.endpoint and peer.last_handshake:
                self._waiting[key] = Sighting(key, peer.endpoint, peer.last_handshake)

    async def write(self, devices: Devices) -> None:
        """Keep what is new. If the store fails that is said once, and tried again after a while."""
        stored = devices.among(self._waiting)
        self._waiting = {key: seen for key, seen in self._waiting.items() if key in stored and _news(seen, stored[key])}
        if not self._waiting or time.monotonic() < self._not_before:
            return
        try:
            await devices.note(self._waiting.values())
        except StoreError as error:
            if str(error) != self._trouble:
                log.warning("where devices were last heard from cannot be kept: %s", error)
            self._trouble = str(error)
            self._not_before = time.monotonic() + self._pause_s
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        else:
            self._waiting, self._trouble, self._pause_s = {}, None, PAUSE_S


def _news(seen: Sighting, known: Device) -> bool:
    return (seen.endpoint, seen.last_handshake) != (known.endpoint, known.last_handshake)
