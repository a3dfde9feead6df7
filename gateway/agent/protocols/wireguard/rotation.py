"""The previous key beside the present one: configs of both work until a moment, so no device notices a rotation.

Each key has its own interface and port, and every device is a peer of both. `rotation_paths` leads answers to the one
that a device uses. nft learns that from its packets; devices that send none are found by their handshakes (`moves`),
at once by an event (`answers`) or within a second. At the end the previous interface answers nobody any more.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from gateway.agent import audit, link
from gateway.agent.command import CommandError, run
from gateway.agent.devices import Devices
from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.firewall import Firewall
from gateway.agent.protocol import AwayError, Traffic
from gateway.agent.protocols.wireguard import rotation_paths
from gateway.agent.protocols.wireguard.answers import answered
from gateway.agent.protocols.wireguard.moves import Handshakes, Moves
from gateway.agent.protocols.wireguard.pace import FEW, LOOK_EVERY_S, Pauses
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.protocols.wireguard.rotation_paths import Paths
from gateway.agent.protocols.wireguard.tunnel import Tunnel
from gateway.agent.protocols.wireguard.wg import WireGuard
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device
from gateway.agent.tasks import repeat, run_until_first_ends

log = logging.getLogger(__name__)

WATCH_EVERY_S = 0.1
AFTER_AN_ANSWER_S = (0.005, 0.015, 0.03, *[0.05] * 4, *[0.1] * 3)
"""The handshake is counted when the device has answered that, too: pauses between looks for it."""
REST, REGULAR_REST = 1.0, 20.0
"""Pauses by the time that a look takes: so it is half of the time after answers, and else a twentieth."""


class Rotation:
    """The previous key's interface, its peers, and the way back to them."""

    def __init__(
        self,
        settings: Callable[[], AgentSettings],
        identities: tuple[WireGuardIdentity, WireGuardIdentity],
        present: WireGuard,
        firewall: Firewall,
    ) -> None:
        """`identities` are the present one and the previous one; `present` is the interface of the former."""
        _, previous = identities
        networks = settings().client_networks
        self._settings = settings
        self._interfaces = (present, WireGuard(previous.interface))
        self._peers = Peers(self._interfaces[1], networks, previous.public_key)
        self._tunnel = Tunnel(settings, previous, self._interfaces[1], self._peers, firewall, has_routes=False)
        self._paths = Paths(*identities, networks)
        self._moves = Moves()
        self._looked_at = self._took = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the previous key has ended. A clock that is set back, or a later date, brings it back."""
        until = self._settings().previous_until
        return until is not None and time.time() >= until.timestamp()

    async def let_in(self, device: Device) -> None:
        """Make a device a peer, or let the next look do it: nobody waits for the previous key."""
        if not self.is_over:
            with suppress(CommandError):
                await self._peers.let_in(device)

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """Remove peers, and the way back to them; CommandError when the interface is not there."""
        await self._peers.shut_out(devices)
        with suppress(CommandError):  # who gets the address next is found by its first handshake
            await self._paths.move(devices, to_previous=False)

    def reconsider(self, devices: Sequence[Device]) -> None:
        """Look soon whether these are in or out as the store now has it."""
        self._peers.reconsider(devices)

    async def problems(self) -> list[str]:
        """What keeps the previous key from working; nothing once it has ended."""
        return [] if self.is_over else await self._tunnel.problems()

    def heard_within(self, seconds: int) -> int:
        """How many devices had their last handshake, by either key, no longer ago."""
        return self._moves.heard_within(seconds)

    def traffic(self) -> Traffic | None:
        """Bytes to and from peers of the previous key."""
        return self._tunnel.traffic()

    async def prepare(self, devices: Devices) -> None:
        """Have the way back to devices of the previous key in place before the present interface gets its routes."""
        if not self.is_over:
            with suppress(CommandError):  # `keep` goes on trying, and says why
                await self._paths.restore(devices.unmoved)

    async def keep(self, devices: Devices) -> None:
        """Keep the previous key working beside the present one, and end it at its time, until cancelled."""
        while True:
            while_both = {
                "end": self._until(is_over=True),
                "tunnel": self._keep_tunnel(devices),
                "paths": self._keep_paths(devices),
                "moves": self._follow(devices),
            }
            await run_until_first_ends(while_both)
            end = repeat(partial(self._end, devices), WATCH_EVERY_S, "the previous key has not ended yet", CommandError)
            await run_until_first_ends({"end": end, "again": self._until(is_over=False)})

    async def _until(self, *, is_over: bool) -> None:
        while self.is_over != is_over:  # noqa: ASYNC110 - clock and settings tell nobody that they change
            await asyncio.sleep(WATCH_EVERY_S)

    async def _keep_tunnel(self, devices: Devices) -> None:
        present, previous = (one.interface for one in self._interfaces)
        # One that stood before the rotation has the routes to all devices until the present one has them.
        while link.is_up(previous) and not link.is_up(present):  # noqa: ASYNC110 - the kernel tells nobody here
            await asyncio.sleep(WATCH_EVERY_S)
        await self._tunnel.keep(devices)

    async def _keep_paths(self, devices: Devices) -> None:
        pauses = Pauses()
        while True:
            if self._paths.is_due() and pauses.is_over():
                try:
                    if await self._paths.restore(devices.unmoved):
                        self._moves.forget()
                    pauses.end()
                except CommandError as error:
                    if pauses.begin(str(error)):
                        log.warning("the way back to devices of the previous key is not in place: %s", error)
            await asyncio.sleep(WATCH_EVERY_S)

    async def _follow(self, devices: Devices) -> None:
        """Look who has moved: every second, and more often after an answer to a handshake."""
        soon: Iterator[float] = iter(())
        with answered() as answer:
            while True:
                pause = next(soon, None)
                wait = self._pause(LOOK_EVERY_S, REGULAR_REST) if pause is None else self._pause(pause, REST)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await answer.wait()
                if answer.is_set():
                    soon = iter(AFTER_AN_ANSWER_S)
                    await asyncio.sleep(self._pause(next(soon), REST))
                    answer.clear()
                with suppress(CommandError):  # the tunnels tell what is wrong with their interfaces
                    await self._look(devices)

    def _pause(self, wanted: float, rest: float) -> float:
        """How long to wait, if looks cost more than nothing."""
        return max(wanted, self._looked_at + rest * self._took - time.monotonic())

    async def _look(self, devices: Devices) -> None:
        started = time.monotonic()
        seen = Handshakes(*await asyncio.gather(*map(_handshakes, self._interfaces)))
        self._looked_at = time.monotonic()
        self._took = self._looked_at - started if len(seen.present) > FEW else 0.0
        moved = self._moves.take(seen)
        try:
            for keys, to_previous in zip(moved, (False, True), strict=True):
                await self._paths.move(devices.among(keys).values(), to_previous=to_previous)
        except CommandError:
            self._moves.forget()
            raise

    async def _end(self, devices: Devices) -> None:
        """Have the previous interface answer nobody. It is set down last, so a killed agent's successor goes on."""
        name = self._interfaces[1].interface
        if link.is_up(name):
            await rotation_paths.remove()
            await self._interfaces[1].forget_identity()
            await run("ip", "link", "set", "dev", name, "down")
            audit.done("previous key ended", devices_left=len(devices.unmoved()))


async def _handshakes(interface: WireGuard) -> dict[str, int]:
    try:
        return await interface.handshakes()
    except AwayError:  # devices of the other one move all the same
        return {}
