"""Devices as the interface's peers: every device of the store is a peer, and nobody else is.

Only what differs is changed, so the sessions of all other peers go on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from gateway.agent import measures
from gateway.agent.devices import Devices
from gateway.agent.pool import Network, addresses
from gateway.agent.protocols.wireguard.wg import SeenInterface, SeenPeer, WantedPeer
from gateway.agent.store import Device, Sighting

log = logging.getLogger(__name__)

CALL_BACK_WITHIN_S = 3600
"""A peer heard from this recently is called when its session is lost; others are waited for."""
CALL_KEEPALIVE_S = 25
"""Any persistent keepalive makes the interface call a peer at once; the next `reconcile` takes it back."""


class DataPlane(Protocol):
    """What peers need of the interface; CommandError whenever it cannot be had."""

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


class Peers:
    """Lets devices in as peers, and brings all peers in line with the store."""

    def __init__(
        self, data_plane: DataPlane, networks: tuple[Network, ...], clock: Callable[[], float] = time.time
    ) -> None:
        self._data_plane = data_plane
        self._networks = networks
        self._clock = clock

    async def let_in(self, device: Device) -> None:
        """Make a device a peer; CommandError when the interface is not there."""
        await self._data_plane.set_peer(self._wanted(device))

    async def shut_out(self, public_keys: Sequence[str]) -> None:
        """Remove peers, and with them their sessions; CommandError when the interface is not there."""
        await self._data_plane.remove_peers(public_keys)

    async def reconcile(self, seen: SeenInterface, devices: Devices) -> None:
        """Bring the interface, as just seen, in line with the store, and note where devices are.

        Peers missing from the interface come back with their last endpoint: it is new, or somebody removed them.
        Those that were lately there are called: their own side would notice the loss of its session only after
        15 s. CommandError when the interface is not there.
        """
        stored = await devices.by_key()
        if seen.peers.keys() - stored.keys() or await asyncio.to_thread(self._wrong, seen, stored.values()):
            await self._repair(devices)
        if called := [key for key, peer in seen.peers.items() if peer.keepalive]:
            await self._data_plane.stop_keepalives(called)
        if sightings := [
            Sighting(key, peer.endpoint, peer.last_handshake)
            for key, peer in seen.peers.items()
            if (known := stored.get(key)) and peer.endpoint and _news(peer, known)
        ]:
            await devices.note(sightings)

    async def _repair(self, devices: Devices) -> None:
        async with devices.unchanging() as stored:  # a registration may have come between: look at both again
            seen = await self._data_plane.show()
            if strangers := sorted(seen.peers.keys() - stored.keys()):
                log.warning("%d peers in the interface are unknown: removed", len(strangers))
                await self._data_plane.remove_peers(strangers)
                measures.REPAIRS.labels("removed").inc(len(strangers))
            if wrong := await asyncio.to_thread(self._wrong, seen, stored.values()):
                log.info("%d peers brought into the interface", len(wrong))
                await self._data_plane.add_peers(
                    [self._wanted(stored[key], restore=key not in seen.peers) for key in wrong]
                )
                measures.REPAIRS.labels("brought_in").inc(len(wrong))

    def _wrong(self, seen: SeenInterface, stored: Iterable[Device]) -> set[str]:
        """Keys of the devices that the interface does not have as they should be."""
        return {
            device.public_key
            for device in stored
            if (found := seen.peers.get(device.public_key)) is None
            or found.preshared_key != device.preshared_key
            or found.allowed_ips != frozenset(addresses(self._networks, device.number))
        }

    def _wanted(self, device: Device, *, restore: bool = False) -> WantedPeer:
        lately = device.last_handshake > self._clock() - CALL_BACK_WITHIN_S
        return WantedPeer(
            public_key=device.public_key,
            allowed_ips=addresses(self._networks, device.number),
            preshared_key=device.preshared_key,
            endpoint=device.endpoint if restore else None,
            keepalive=CALL_KEEPALIVE_S if restore and lately else 0,
        )


def _news(seen: SeenPeer, known: Device) -> bool:
    return seen.last_handshake > 0 and (seen.endpoint, seen.last_handshake) != (known.endpoint, known.last_handshake)
