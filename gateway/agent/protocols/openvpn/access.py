"""Devices that come in by OpenVPN: who is on the list may, by either transport, and gets its one address there.

Each transport has its tun device, without addresses. A device that comes in gets a route of its own to the transport
by which it came. OpenVPN itself takes no packets from a device but those with the device's addresses.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gateway.agent import link
from gateway.agent.certificates import Issuer, common_name, device_named
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.endpoints import Listener
from gateway.agent.protocol import AwayError, Traffic
from gateway.agent.protocols import routes
from gateway.agent.protocols.openvpn import server_files, socket
from gateway.agent.protocols.openvpn.options import options
from gateway.agent.protocols.openvpn.sessions import Sessions
from gateway.agent.protocols.presence import Presence
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device
from gateway.agent.tasks import run_until_first_ends

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


class OpenVpn:
    """Lets devices in by OpenVPN, and tells who is there."""

    part = "openvpn"

    def __init__(
        self,
        settings: Callable[[], AgentSettings],
        issuer: Issuer,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._issuer = issuer
        self._presence = Presence(clock)
        self._devices: Devices | None = None
        now = settings()
        self._sessions: Mapping[Listener, Sessions] = {
            one: Sessions(socket(now.openvpn_dir, one.transport), issuer.fingerprint, Way(self, one))
            for one in now.openvpn_listen
        }

    async def let_in(self, device: Device) -> None:  # noqa: ARG002 - the protocol's
        """It is on the list already. CommandError where OpenVPN does not ask the agent just now."""
        if not any(sessions.is_kept for sessions in self._sessions.values()):
            raise CommandError("OpenVPN does not run, or does not talk to the agent yet")

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """End the sessions of devices that are off the list; CommandError if one may still have one."""
        names = [common_name(device.public_key) for device in devices]
        trouble: CommandError | None = None
        for sessions in self._sessions.values():
            try:
                with suppress(AwayError):
                    await sessions.end(names)
            except CommandError as error:
                trouble = error
        with suppress(CommandError):  # a device that was never in has none
            await routes.forget(devices, self._settings().client_networks)
        if trouble:
            raise trouble

    def reconsider(self, devices: Sequence[Device]) -> None:
        """A device that is on the list again is let in when it comes."""

    async def keep(self, devices: Devices) -> None:
        """Answer OpenVPN, and look after its interfaces and credentials, until cancelled."""
        self._devices = devices
        await run_until_first_ends(
            {
                "openvpn-files": server_files.keep(self._settings, self._issuer),
                "openvpn-links": link.keep_mtu([one.interface for one in self._sessions], self._settings),
                "openvpn-looks": self._keep_looking(devices),
                **{f"openvpn-{one.transport}": sessions.keep() for one, sessions in self._sessions.items()},
            }
        )

    def listed(self, name: str) -> Device | None:
        """The device of this common name, if it may be in."""
        if self._devices is None:
            return None
        key = device_named(name)
        device = self._devices.among([key]).get(key)
        return device if device and device.protocol == "openvpn" else None

    async def come(self, name: str, listener: Listener) -> Sequence[str]:
        """Make a device's way lead through where it came, and end the session that it may have elsewhere."""
        device = self.listed(name)
        if device is None:
            raise CommandError("the device has left the list")
        await routes.lead([device], self._settings().client_networks, listener.interface)
        for other, sessions in self._sessions.items():
            if other != listener:
                with suppress(CommandError):
                    await sessions.drop(name)
        return options(self._settings(), device.number)

    async def problems(self) -> list[str]:
        """A sentence for each transport that nobody comes in by, and for what keeps everybody out."""
        return self._issuer.problems + [
            f"OpenVPN for {one.transport} does not talk to the agent; its container, or meshgate-openvpn.service, "
            "runs it"
            for one, sessions in self._sessions.items()
            if not sessions.is_kept
        ]

    def heard_within(self, seconds: int) -> int:
        """How many devices were there no longer ago, as of the last look."""
        return self._presence.heard_within(seconds)

    def traffic(self) -> Traffic | None:
        """Bytes to and from devices by all transports; None when there is no interface."""
        found = [one for listener in self._sessions if (one := link.traffic(listener.interface))]
        if not found:
            return None
        return Traffic(sum(one.received for one in found), sum(one.sent for one in found))

    async def _keep_looking(self, devices: Devices) -> None:
        """Learn who is there, and keep it; end routes of those who may not be."""
        while True:
            seen: dict[str, str] = {}
            for listener, sessions in self._sessions.items():
                with suppress(CommandError):
                    seen |= {device_named(one.name): one.endpoint for one in await sessions.all() if one.is_in}
                with suppress(CommandError):
                    await routes.end_strays(devices, "openvpn", self._settings().client_networks, listener.interface)
            await self._presence.note(devices, seen)
            await asyncio.sleep(LOOK_EVERY_S)


class Way:
    """The list as one process of OpenVPN asks it."""

    def __init__(self, openvpn: OpenVpn, listener: Listener) -> None:
        self._openvpn = openvpn
        self._listener = listener

    def has(self, name: str) -> bool:
        """Whether a device of this name is on the list."""
        return self._openvpn.listed(name) is not None

    async def welcome(self, name: str) -> Sequence[str]:
        """Let the device's way lead through this process's interface."""
        return await self._openvpn.come(name, self._listener)
