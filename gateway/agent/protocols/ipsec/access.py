"""Devices that come in by IPsec: those that charon has connections for, which the agent loads and unloads.

Sessions and connections live in charon, so they outlive the agent. A new charon gets all of them, and is open to
clients only then. An answer that is lost between the two is made up for by the next look.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from gateway.agent import link, server_certificate
from gateway.agent.certificates import Issuer, Validity, device_named
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.endpoints import IPSEC_INTERFACE
from gateway.agent.pool import addresses
from gateway.agent.protocol import AwayError, Traffic
from gateway.agent.protocols import routes
from gateway.agent.protocols.ipsec import device_connections, gate, kernel_esp, socket
from gateway.agent.protocols.ipsec.charon import Charon, Command, IkeSession
from gateway.agent.protocols.presence import Presence
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device
from gateway.agent.tasks import run_until_first_ends

log = logging.getLogger(__name__)

RETRY_S = 0.2
LOOK_EVERY_S = 5.0
AT_ONCE = 50
"""So many devices are loaded before a registration or a revocation has its turn: in 0.1 s."""


class IpSec:
    """Lets devices in by IPsec, and tells who is there."""

    part = "ipsec"

    def __init__(
        self, settings: Callable[[], AgentSettings], issuer: Issuer, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._issuer = issuer
        self._presence = Presence(clock)
        self._directory = settings().ipsec_dir or Path()
        self._charon: Charon | None = None
        self._by_kernel = False
        """Whether that charon leaves ESP to the kernel: then routes to devices are made here."""
        self._is_open = False
        """Whether clients get answers: all devices were loaded, by this agent or by one before."""
        self._in_doubt: set[str] = set()
        """Ids of devices that may have to be let in or shut out, and nobody did."""

    async def let_in(self, device: Device) -> None:
        """Load a device's connections; CommandError when charon is not there."""
        await self._admit(self._talk(), [device])

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """Unload devices' connections and end their sessions; AwayError when charon is not there, so nobody is in."""
        networks = self._settings().client_networks
        try:
            await self._dismiss(self._talk(), (device.public_key for device in devices))
        except AwayError:  # the kernel still sends what is for them
            await kernel_esp.shut_out([own for device in devices for own in addresses(networks, device.number)])
            raise
        if self._by_kernel:
            with suppress(CommandError):  # a device that was never in has none
                await routes.forget(devices, networks)

    def reconsider(self, devices: Sequence[Device]) -> None:
        """Load or unload these soon, as `Devices` has them."""
        self._in_doubt.update(device.public_key for device in devices)

    async def keep(self, devices: Devices) -> None:
        """Load all devices into each charon that comes, and look after it while it is there, until cancelled."""
        while True:
            with suppress(AwayError):
                charon = await Charon.open(socket(self._directory))
                try:
                    self._by_kernel = await kernel_esp.is_used()
                    self._charon = charon
                    await self._keep(charon, devices)
                except CommandError as error:
                    log.warning("charon is not told of the devices: %s", error)
                finally:
                    charon.close()
                    self._charon, self._is_open = None, False
            await asyncio.sleep(RETRY_S)

    async def _keep(self, charon: Charon, devices: Devices) -> None:
        await run_until_first_ends(
            {
                "ipsec-events": self._heed_events(charon, devices),
                "ipsec-devices": self._keep_loaded(charon, devices),
                "ipsec-looks": self._keep_looking(charon, devices),
                "ipsec-link": link.keep_mtu([IPSEC_INTERFACE], self._settings),
            }
        )

    async def problems(self) -> list[str]:
        """A sentence each for why nobody comes in."""
        found = self._issuer.problems
        if self._charon is None:
            found.append("charon does not talk to the agent; the container ipsec, or meshgate-ipsec.service, runs it")
        elif not self._is_open:
            found.append("IPsec opens as soon as all devices are loaded")
        return found

    def heard_within(self, seconds: int) -> int:
        """How many devices were there no longer ago, as of the last look."""
        return self._presence.heard_within(seconds)

    def traffic(self) -> Traffic | None:
        """Bytes to and from devices; None when there is no interface."""
        return link.traffic(IPSEC_INTERFACE)

    def _talk(self) -> Charon:
        if self._charon is None:
            raise AwayError("charon does not run, or does not talk to the agent yet")
        return self._charon

    async def _keep_loaded(self, charon: Charon, devices: Devices) -> None:
        """Have everything loaded as settings and devices are."""
        self._is_open = await gate.is_open()
        told: object = None
        validity: Validity | None = None
        while True:
            settings = self._settings()
            if (now := (settings.host, settings.dns)) != told or validity is None or self._issuer.is_due(validity):
                validity = await self._load_credentials(charon, settings)
                await self._bring_in_line(charon, devices, set(devices.keys("ipsec")))
                await self._unload_strangers(charon, devices)
                await gate.open_()
                self._is_open, told = True, now
            if doubtful := self._in_doubt:
                self._in_doubt = set()
                await self._bring_in_line(charon, devices, doubtful)
            await asyncio.sleep(RETRY_S)

    async def _load_credentials(self, charon: Charon, settings: AgentSettings) -> Validity:
        """Give charon its certificate; when that is good."""
        server, validity = server_certificate.kept(self._issuer, self._directory, settings.host)
        authorities = (self._issuer.ca, self._issuer.issuing)
        await charon.run(
            [
                *(_certificate("CA", one) for one in authorities),
                _certificate("NONE", server.chain),
                Command("load-key", {"type": "any", "data": server.key.encode()}),
            ]
        )
        return validity

    async def _bring_in_line(self, charon: Charon, devices: Devices, ids: Iterable[str]) -> None:
        waiting = sorted(ids)
        for start in range(0, len(waiting), AT_ONCE):
            some = waiting[start : start + AT_ONCE]
            async with devices.unchanging(some) as stored:
                await self._admit(charon, stored.values())
                missing = [one for one in some if one not in stored]
                await self._dismiss(charon, missing)
            # A clock that is set right before `expire` has seen it brings a device back, and nobody would say so.
            self._in_doubt |= devices.unswept(missing)

    async def _admit(self, charon: Charon, devices: Collection[Device]) -> None:
        settings = self._settings()
        if self._by_kernel:
            await routes.lead(devices, settings.client_networks, IPSEC_INTERFACE)
        for device in devices:
            commands = list(device_connections.admitted(device, settings, self._issuer, by_kernel=self._by_kernel))
            try:
                await charon.run(commands)
            except AwayError:
                raise
            except CommandError:  # in with an address that it had before
                await self._dismiss(charon, [device.public_key])
                await charon.run(commands)

    async def _dismiss(self, charon: Charon, ids: Iterable[str]) -> None:
        await charon.run(device_connections.dismissed(ids, self._settings().client_networks))

    async def _unload_strangers(self, charon: Charon, devices: Devices) -> None:
        """Whom charon knows from an agent before, and nobody does now."""
        loaded = {device_named(device_connections.name_of(name)) for name in await charon.connections()}
        known = devices.among(loaded)
        await self._bring_in_line(charon, devices, loaded.difference(known))

    async def _heed_events(self, charon: Charon, devices: Devices) -> None:
        async for event in charon.events():
            if "up" not in event:
                continue
            for connection in (name for name in event if name != "up"):
                await self._come(charon, devices, connection, event[connection]["uniqueid"].decode())
        raise AwayError("charon has gone")

    async def _come(self, charon: Charon, devices: Devices, connection: str, session: str) -> None:
        """A session has begun: end it if its device may not be in, else the ones that the device had before.

        Packets would still go there, and their address would stay taken.
        """
        device = device_named(device_connections.name_of(connection))
        if not devices.among([device]):
            await charon.run([device_connections.ended(session)])
            return
        others = [one.id for one in await charon.sessions(device_connections.names(device)) if one.id != session]
        await charon.run(map(device_connections.ended, others))

    async def _keep_looking(self, charon: Charon, devices: Devices) -> None:
        """Learn who is there, and keep it; end the sessions and the routes of those who may not be."""
        while True:
            found = [(_device_of(session), session) for session in await charon.sessions()]
            known = devices.among(device for device, _ in found)
            await charon.run(device_connections.ended(one.id) for device, one in found if device not in known)
            if self._by_kernel:
                with suppress(CommandError):
                    await routes.end_strays(devices, "ipsec", self._settings().client_networks, IPSEC_INTERFACE)
            await self._presence.note(devices, {device: one.endpoint for device, one in found})
            await asyncio.sleep(LOOK_EVERY_S)


def _device_of(session: IkeSession) -> str:
    return device_named(device_connections.name_of(session.connection))


def _certificate(flag: str, pem: str) -> Command:
    return Command("load-cert", {"type": "X509", "flag": flag, "data": pem.encode()})
