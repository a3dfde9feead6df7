"""Where peers were last heard from, kept in the store. What cannot be written waits; nothing else waits for it."""

import logging
from collections.abc import Iterable

from gateway.agent.devices import Devices
from gateway.agent.protocols.wireguard.pace import Pauses
from gateway.agent.protocols.wireguard.wg import SeenPeer
from gateway.agent.store import Device, Sighting, StoreError

log = logging.getLogger(__name__)


class Sightings:
    """Those that are not in the store yet, one per peer at most."""

    def __init__(self, server_key: str | None = None) -> None:
        """`server_key` is the gateway's own, by which the peers are heard."""
        self._server_key = server_key
        self._waiting: dict[str, Sighting] = {}
        self._pauses = Pauses()

    def collect(self, seen: Iterable[tuple[str, SeenPeer | None]]) -> None:
        """Take these peers' endpoints and handshakes for the next `write`."""
        for key, peer in seen:
            if peer and peer.endpoint and peer.last_handshake:
                self._waiting[key] = Sighting(key, peer.endpoint, peer.last_handshake, self._server_key)

    async def write(self, devices: Devices) -> None:
        """Keep what is new. If the store fails that is said once, and tried again after a while."""
        stored = devices.among(self._waiting)
        self._waiting = {key: seen for key, seen in self._waiting.items() if key in stored and _news(seen, stored[key])}
        if not self._waiting or not self._pauses.is_over():
            return
        try:
            await devices.note(self._waiting.values())
        except StoreError as error:
            if self._pauses.begin(str(error)):
                log.warning("where devices were last heard from cannot be kept: %s", error)
        else:
            self._waiting = {}
            self._pauses.end()


def _news(seen: Sighting, known: Device) -> bool:
    if seen.server_key != known.server_key and seen.last_handshake < known.last_handshake:
        return False  # the device has gone on to the gateway's other key
    told = (known.endpoint, known.last_handshake, known.server_key)
    return (seen.endpoint, seen.last_handshake, seen.server_key) != told
