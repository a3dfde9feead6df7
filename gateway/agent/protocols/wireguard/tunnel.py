"""Keeps the interface as it should be, whoever made it and however often it comes back new.

Another process makes it (`interface`), so that tunnels outlive the agent. When that process is replaced, a bare
interface appears under the same name. Within a tenth of a second it gets its key, port, MTU, addresses and peers.
"""

import asyncio
import logging
import time

from gateway.agent import measures
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.firewall import Firewall
from gateway.agent.pool import GATEWAY_NUMBER
from gateway.agent.protocol import Traffic
from gateway.agent.protocols.wireguard import link
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.protocols.wireguard.wg import SeenInterface, WireGuard
from gateway.agent.settings import AgentSettings
from gateway.agent.store import StoreError

log = logging.getLogger(__name__)

WATCH_EVERY_S = 0.1
LOOK_EVERY_S = 1.0
"""Between two looks at the interface. With thousands of peers it is longer, for a look takes longer."""
LOOK_SHARE = 0.05
"""The part of the agent's time that looks may take."""
STALE_S = 30.0


class Tunnel:
    """The interface and its peers, looked after in one loop."""

    def __init__(
        self, settings: AgentSettings, wireguard: WireGuard, firewall: Firewall, peers: Peers, devices: Devices
    ) -> None:
        self._settings = settings
        self._wireguard = wireguard
        self._firewall = firewall
        self._peers = peers
        self._devices = devices
        self._configured: int | None = None
        self._seen: SeenInterface | None = None
        self._seen_at = 0.0
        """When `_seen` was read, on the monotonic clock."""
        self._look_took = 0.0

    async def keep(self) -> None:
        """Configure each interface that appears under the name; look at it every second or so, until cancelled."""
        trouble = None
        while True:
            try:
                await self._step()
                trouble = None
            except (CommandError, StoreError) as error:
                if str(error) != trouble:
                    log.warning("the interface %s is not as it should be: %s", self._settings.interface, error)
                trouble = str(error)
            await asyncio.sleep(WATCH_EVERY_S)

    async def _step(self) -> None:
        index = link.index(self._settings.interface)
        if index is None:
            self._configured = None
        elif index != self._configured:
            await self._bring_in_line()
            self._configured = index
            measures.APPEARANCES.inc()
            log.info("the interface %s stands with %d devices", self._settings.interface, len(self._devices.pool.taken))
        elif time.monotonic() - self._seen_at > max(LOOK_EVERY_S, self._look_took / LOOK_SHARE):
            await self._bring_in_line()

    @measures.looked
    async def _bring_in_line(self) -> None:
        """Put right what is not as it should be; the firewall stands before peers come in."""
        wanted, started = self._settings, time.monotonic()
        seen = await self._wireguard.show()
        if not self._identified(seen):
            await self._wireguard.set_identity(wanted.private_key_file, wanted.listen_port)
            seen = await self._wireguard.show()
        addresses = [f"{network[GATEWAY_NUMBER]}/{network.prefixlen}" for network in wanted.client_networks]
        await link.configure(wanted.interface, addresses, wanted.mtu)
        await self._firewall.restore()
        await self._peers.reconcile(seen, self._devices)
        self._seen, self._seen_at = seen, time.monotonic()
        self._look_took = self._seen_at - started

    def _identified(self, seen: SeenInterface) -> bool:
        return (seen.public_key, seen.listen_port) == (self._settings.public_key, self._settings.listen_port)

    async def problems(self) -> list[str]:
        """What keeps the tunnel from working, one sentence each; empty if it works."""
        name = self._settings.interface
        index = link.index(name)
        if index is None:
            return [f"the interface {name} does not exist: its container, or meshgate-wireguard.service, makes it"]
        if index != self._configured or self._seen is None:
            return [f"the interface {name} is not configured yet"]
        found = []
        if (age := time.monotonic() - self._seen_at) > STALE_S:
            found.append(f"the interface {name} could not be read for {age:.0f} s")
        if not self._identified(self._seen):
            found.append(f"the interface {name} does not have the declared public key and listen port")
        if not await link.is_up(name):
            found.append(f"the interface {name} is down")
        return found

    def handshakes(self) -> list[int]:
        """When each peer last made a handshake, as of the last look."""
        return [peer.last_handshake for peer in self._seen.peers.values()] if self._seen else []

    def traffic(self) -> Traffic | None:
        """Bytes to and from peers, without WireGuard's own; None while there is no interface."""
        return link.traffic(self._settings.interface)
