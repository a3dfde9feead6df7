"""Sessions of one OpenVPN process: exactly those of devices that are on the list.

The fingerprint of its certificate tells which device a client is. The certificate's common name is the device's name
here: OpenVPN ends sessions by it. While no agent has the conversation nobody new gets in, and sessions go on.
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.agent.command import CommandError
from gateway.agent.protocols.openvpn.management import GoneError, Management, Request

log = logging.getLogger(__name__)

FINGERPRINT = "tls_digest_sha256_0"
RETRY_S = 0.2
TOLD_BEFORE_S = 0.05
"""A client that is told of its end comes back at once and is refused. `kill` alone tells it nothing, and the telling
alone would let it go on for five seconds (scheduled_exit_interval)."""
REFUSAL = '"not on the list" "device is not on the list"'


@dataclass(frozen=True)
class Grant:
    """What a device gets that is on the list."""

    name: str
    """The common name that its certificate must have, and no other device's."""
    options: tuple[str, ...]
    """Lines of its own configuration, such as `ifconfig-push 10.90.0.10 255.255.255.0`."""


class AllowList(Protocol):
    """Who may have a session."""

    def grant(self, fingerprint: str) -> Grant | None:
        """What the device with this certificate gets: SHA-256, lower-case hex with colons. None if it may not in."""

    def has(self, name: str) -> bool:
        """Whether a device of this name is on the list."""


class Sessions:
    """Keeps the sessions of one process in line with the list."""

    def __init__(self, socket: Path, allow_list: AllowList) -> None:
        self._socket = socket
        self._list = allow_list
        self._management: Management | None = None

    @property
    def is_kept(self) -> bool:
        """Whether OpenVPN asks this agent."""
        return self._management is not None

    async def keep(self) -> None:
        """Answer OpenVPN, whenever it is there, until cancelled."""
        while True:
            with suppress(GoneError):
                management = await Management.open(self._socket)
                try:
                    await self._settle(management)
                    self._management = management
                    async for request in management.requests():
                        await self._answer(management, request)
                finally:
                    self._management = None
                    await management.close()
            await asyncio.sleep(RETRY_S)

    async def end(self, names: Collection[str]) -> None:
        """End the sessions of devices that are off the list already, at once. CommandError if OpenVPN is not there."""
        if self._management is None:
            raise CommandError("OpenVPN does not talk to the agent just now")
        await _end(self._management, names)

    async def _settle(self, management: Management) -> None:
        """See to what happened while nobody had the conversation."""
        sessions = await management.sessions()
        await _end(management, {one.name for one in sessions if one.name and not self._list.has(one.name)})
        for session in sessions:
            if session.name and self._list.has(session.name) and not session.is_in:
                # Its request went unheard: it makes another one.
                await _tolerated(management, f"client-kill {session.client}")

    async def _answer(self, management: Management, request: Request) -> None:
        name = request.env.get("common_name", "")
        grant = self._list.grant(request.env.get(FINGERPRINT, ""))
        handshake = f"{request.client} {request.key}"
        if grant is None or grant.name != name:
            log.info("a client at %s is refused: it is not on the list", request.env.get("untrusted_ip", "?"))
            await _tolerated(management, f"client-deny {handshake} {REFUSAL}")
        elif request.again:
            await _tolerated(management, f"client-auth-nt {handshake}")
        else:
            await _tolerated(management, f"client-auth {handshake}", *grant.options, "END")


async def _end(management: Management, names: Collection[str]) -> None:
    if not names:
        return
    for session in await management.sessions():
        if session.name in names:
            await _tolerated(management, f"client-kill {session.client}")
    await asyncio.sleep(TOLD_BEFORE_S)
    for name in names:
        await _tolerated(management, f"kill {name}")


async def _tolerated(management: Management, *lines: str) -> None:
    """Give a command about a client that may have gone meanwhile, which OpenVPN then refuses."""
    try:
        await management.command(*lines)
    except GoneError:
        raise
    except CommandError as error:
        log.debug("%s", error)
