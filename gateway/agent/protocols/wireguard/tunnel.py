"""Keeps the interface as it should be, whoever made it and however often it comes back new.

Another process makes it (`interface_process`), so that tunnels outlive the agent. When that process is replaced, a bare
interface appears under the same name. Within a tenth of a second it gets its key, port, MTU and addresses, and then its
peers. It works for those that are in while others still come.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from gateway.agent import link, measures
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.firewall import Firewall
from gateway.agent.pool import GATEWAY_NUMBER
from gateway.agent.protocol import Traffic
from gateway.agent.protocols.wireguard.pace import Pace, Pauses
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.protocols.wireguard.wg import SeenInterface, WireGuard
from gateway.agent.settings import AgentSettings
from gateway.agent.store import StoreError

log = logging.getLogger(__name__)

WATCH_EVERY_S = 0.1
KEEP_UP_EVERY_S = 1.0
"""Between two looks at addresses and MTU, which take the same time however many devices there are."""
FAILING_S = 30.0
"""An interface that was out of reach for longer is a reason not to be ready."""


class Tunnel:
    """The interface and its peers, looked after in one loop."""

    def __init__(
        self,
        settings: Callable[[], AgentSettings],
        identity: WireGuardIdentity,
        wireguard: WireGuard,
        peers: Peers,
        firewall: Firewall,
        *,
        has_routes: bool = True,
    ) -> None:
        """Without routes the main table leads nobody to the interface."""
        self._settings = settings
        self._name = identity.interface
        self._has_routes = has_routes
        self._identity = identity
        self._wireguard = wireguard
        self._peers = peers
        self._firewall = firewall
        self._configured: int | None = None
        self._is_identified = False
        self._kept_up_at = 0.0
        """When addresses and MTU were last looked at, on the monotonic clock."""
        self._pace = Pace()
        self._pauses = Pauses()

    async def keep(self, devices: Devices) -> None:
        """Configure each interface that appears under the name, and look at it again and again, until cancelled."""
        index = None
        while True:
            before, index = index, link.index(self._name)
            if index != before:
                self._pauses.end()  # what failed with another interface says nothing of this one
            if self._pauses.is_over():
                await self._try(index, devices)
            await asyncio.sleep(WATCH_EVERY_S)

    async def _try(self, index: int | None, devices: Devices) -> None:
        try:
            await self._step(index, devices)
        except (CommandError, StoreError) as error:
            if self._pauses.begin(str(error)):
                log.warning("the interface %s is not as it should be: %s", self._name, error)
        else:
            self._pauses.end()

    async def _step(self, index: int | None, devices: Devices) -> None:
        if index is None:
            self._configured = None
        elif index != self._configured:
            await self._bring_in_line(devices, appeared=index)
            log.info("the interface %s stands with %d devices", self._name, len(devices.pool.taken))
        else:
            if time.monotonic() - self._kept_up_at >= KEEP_UP_EVERY_S:
                await self._keep_up()
            self._pace.hear(self._firewall.newcomers)
            if self._pace.is_due(urgent=self._peers.is_unsettled):
                await self._bring_in_line(devices)

    @measures.looked
    async def _bring_in_line(self, devices: Devices, appeared: int | None = None) -> None:
        """Look at the interface, which may have just appeared, and put its peers right."""
        seen = await self._look()
        if appeared is not None:
            await self._keep_up()
            self._configured = appeared
            measures.APPEARANCES.inc()
        await self._peers.reconcile(seen, devices)

    async def _look(self) -> SeenInterface:
        """The interface with the declared key and port: if they were other ones, they are put right."""
        wanted, started = self._identity, time.monotonic()
        seen = await self._wireguard.show()
        self._pace.looked(time.monotonic() - started, len(seen.lines))
        self._is_identified = (seen.public_key, seen.listen_port) == (wanted.public_key, wanted.listen_port)
        if not self._is_identified:
            await self._wireguard.set_identity(wanted.private_key_file, wanted.listen_port)
            self._is_identified = True
        return seen

    async def _keep_up(self) -> None:
        """Put right what is cheap to look at."""
        wanted = self._settings()
        networks = wanted.client_networks
        addresses = {f"{network[GATEWAY_NUMBER]}/{network.prefixlen}" for network in networks}
        if not self._has_routes:  # an interface without any IPv4 address would have no IPv4
            addresses = {f"{network[GATEWAY_NUMBER]}/32" for network in networks if network.version == 4}
        await link.configure(self._name, addresses, wanted.mtu)
        self._kept_up_at = time.monotonic()

    async def problems(self) -> list[str]:
        """What keeps the tunnel from working, one sentence each; empty if it works."""
        name = self._name
        index = link.index(name)
        if index is None:
            return [f"the interface {name} does not exist: its container, or meshgate-wireguard.service, makes it"]
        if index != self._configured:
            return [f"the interface {name} is not configured yet"]
        found = []
        if (failing := self._pauses.failing_for()) > FAILING_S:
            found.append(f"the interface {name} could not be looked after for {failing:.0f} s: {self._pauses.trouble}")
        if not self._is_identified:
            found.append(f"the interface {name} does not have the declared public key and listen port")
        if not link.is_up(name):
            found.append(f"the interface {name} is down")
        return found

    def traffic(self) -> Traffic | None:
        """Bytes to and from peers, without WireGuard's own; None while there is no interface."""
        return link.traffic(self._name)
