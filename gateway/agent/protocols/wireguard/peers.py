"""Devices as the interface's peers: every device of the store is a peer, and nobody else is.

Only what differs is changed, so the sessions of all other peers go on. A look judges only the keys in doubt: those
whose line at the interface is new or another, and those that were let in or shut out since. So its cost is that of
what changed.
"""

import asyncio
import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from gateway.agent import measures
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.pieces import pieces
from gateway.agent.pool import Network, addresses
from gateway.agent.protocols.wireguard.calls import CALL_KEEPALIVE_S, Calls
from gateway.agent.protocols.wireguard.sightings import Sightings
from gateway.agent.protocols.wireguard.wg import SeenInterface, SeenPeer, WantedPeer
from gateway.agent.store import Device

log = logging.getLogger(__name__)

AT_ONCE = 1000
"""So many peers are put right before the next registration has its turn: in 0.2 s, if all are new."""


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


class Peers:
    """Lets devices in as peers, and brings all peers in line with the store."""

    def __init__(
        self,
        data_plane: DataPlane,
        networks: tuple[Network, ...],
        server_key: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`server_key` is the gateway's own, by which these peers come in."""
        self._data_plane = data_plane
        self._networks = networks
        self._server_key = server_key
        self._clock = clock
        self._lines: dict[str, int] | None = None
        """Hashes of the peers' lines in the last look, by their keys; None before the first."""
        self._in_doubt: dict[str, float] = {}
        """Keys that no look has found to be right since, and when the agent changed them (monotonic clock)."""
        self._calls = Calls(clock)
        self._sightings = Sightings(server_key)
        self._handshakes: list[int] = []
        """Of all peers that ever had one, the times of the last, in order."""
        self.is_unsettled = False
        """Whether something failed, or was put right, that the next look should see soon."""

    async def let_in(self, device: Device) -> None:
        """Make a device a peer; CommandError when the interface is not there."""
        with self._changing([device.public_key]):
            await self._data_plane.set_peer(self._wanted(device))

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """Remove peers, and with them their sessions; CommandError when the interface is not there."""
        keys = [device.public_key for device in devices]
        with self._changing(keys):
            await self._data_plane.remove_peers(keys)

    def reconsider(self, devices: Sequence[Device]) -> None:
        """Look soon whether these are in or out as the store now has it."""
        self._doubt(device.public_key for device in devices)
        self.is_unsettled = True

    def heard_within(self, seconds: int) -> int:
        """How many peers had their last handshake no longer ago, as of the last look."""
        return len(self._handshakes) - bisect_left(self._handshakes, self._clock() - seconds)

    async def reconcile(self, seen: SeenInterface, devices: Devices) -> None:
        """Bring the interface, as just seen, in line with the store, and note where devices are.

        Peers missing from the interface come back with their last endpoint: it is new, or somebody removed them.
        Those seen last come first. Those that were lately there are called (`calls`). CommandError when the interface
        is not there.
        """
        again = self._calls.unanswered(seen)
        self.is_unsettled = self._calls.is_waiting
        changed, gone = await asyncio.to_thread(_difference, self._lines or {}, seen.lines)
        doubtful = {
            *changed,
            *gone,
            *again,
            *self._in_doubt,
            *(devices.keys("wireguard") if self._lines is None else ()),
        }
        self._doubt(doubtful - self._in_doubt.keys(), since=0)
        stored = devices.among(doubtful)
        self._lines = _updated(self._lines or {}, seen.lines, stored, changed, gone)
        if changed or gone:
            self._handshakes = await asyncio.to_thread(_handshakes, seen)
        await asyncio.to_thread(self._sightings.collect, ((key, seen.peer(key)) for key in changed))
        wrong = again.union(await asyncio.to_thread(self._wrong, seen, stored, doubtful))
        # A clock that is set right before `expire` has seen it brings a device back, and nobody would say so.
        waiting = devices.unswept(doubtful.difference(stored))
        self.is_unsettled |= bool(waiting)
        right = doubtful.difference(wrong, waiting)
        self._in_doubt = {
            key: since for key, since in self._in_doubt.items() if key not in right or since >= seen.asked_at
        }
        if wrong:
            those_seen_last_first = sorted(wrong, key=lambda key: _last_handshake(stored, key), reverse=True)
            await self._repair(seen, devices, those_seen_last_first, again)
        await self._sightings.write(devices)

    async def _repair(
        self, seen: SeenInterface, devices: Devices, wrong: Sequence[str], again: Collection[str]
    ) -> None:
        """Put keys right, some at a time, so that registrations come between. Those of `again` are called again."""
        strangers = missing = 0
        for keys in pieces(wrong, AT_ONCE):
            async with devices.unchanging(keys) as stored:
                # What the agent changed after the interface was asked is for the next look to judge.
                keys = [key for key in keys if self._in_doubt[key] < seen.asked_at]
                unknown = [key for key in keys if key not in stored and key in seen.lines]
                restored = {key for key in keys if key in stored and (key not in seen.lines or key in again)}
                known = [self._wanted(stored[key], restore=key in restored) for key in keys if key in stored]
                self.is_unsettled |= bool(unknown or known)
                if leaving := [*unknown, *restored.intersection(again)]:
                    await self._data_plane.remove_peers(leaving)
                if unknown:
                    devices.left_behind.set()
                if known:
                    await self._data_plane.add_peers(known)
                    self._calls.made(one.public_key for one in known if one.keepalive and one.public_key not in again)
            strangers += len(unknown)
            missing += len(restored.difference(again))
            measures.REPAIRS.labels("removed").inc(len(unknown))
            measures.REPAIRS.labels("brought_in").inc(len(known))
        if strangers:
            log.warning("%d peers in the interface are unknown: removed", strangers)
        if missing:
            log.info("%d peers brought into the interface", missing)

    @contextmanager
    def _changing(self, public_keys: Sequence[str]) -> Iterator[None]:
        """Leave these keys in doubt when the block has ended, however it ends."""
        try:
            yield
        except CommandError:
            self.is_unsettled = True
            raise
        finally:
            self._doubt(public_keys)

    def _doubt(self, public_keys: Iterable[str], since: float | None = None) -> None:
        self._in_doubt.update(dict.fromkeys(public_keys, time.monotonic() if since is None else since))

    def _wrong(self, seen: SeenInterface, stored: dict[str, Device], doubtful: Collection[str]) -> list[str]:
        """Those keys that the interface does not have as it should."""
        return [key for key in doubtful if not self._is_right(seen.peer(key), stored.get(key))]

    def _is_right(self, peer: SeenPeer | None, device: Device | None) -> bool:
        if peer is None or device is None:
            return peer is None and device is None
        return (
            peer.preshared_key == device.preshared_key
            and peer.allowed_ips == frozenset(addresses(self._networks, device.number))
            and peer.keepalive == 0
        )

    def _wanted(self, device: Device, *, restore: bool = False) -> WantedPeer:
        restore = restore and device.server_key in {None, self._server_key}  # else it answers by the other key only
        return WantedPeer(
            public_key=device.public_key,
            allowed_ips=addresses(self._networks, device.number),
            preshared_key=device.preshared_key,
            endpoint=device.endpoint if restore else None,
            keepalive=CALL_KEEPALIVE_S if restore and self._calls.is_worth(device) else 0,
        )


def _difference(before: dict[str, int], now: dict[str, str]) -> tuple[list[str], list[str]]:
    """Keys whose lines are new or other than before, and keys that are gone."""
    return [key for key, line in now.items() if before.get(key) != hash(line)], [
        key for key in before if key not in now
    ]


def _updated(
    hashes: dict[str, int], now: dict[str, str], stored: dict[str, Device], changed: list[str], gone: list[str]
) -> dict[str, int]:
    """The hashes as of now. Keys are the store's own, since each look reads every key into memory anew."""
    hashes.update((stored[key].public_key if key in stored else key, hash(now[key])) for key in changed)
    for key in gone:
        del hashes[key]
    return hashes


def _last_handshake(stored: dict[str, Device], public_key: str) -> int:
    device = stored.get(public_key)
    return device.last_handshake if device else 0


def _handshakes(seen: SeenInterface) -> list[int]:
    times = (int(line.split("\t", 4)[3]) for line in seen.lines.values())
    return sorted(time for time in times if time)
