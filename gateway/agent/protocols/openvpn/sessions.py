"""Sessions of one OpenVPN process: exactly those of devices that are on the list.

The common name of its certificate tells which device a client is, if this gateway's own issuer has certified it.
OpenVPN ends sessions by it. While no agent has the conversation nobody new gets in, and sessions go on.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gateway.agent.command import CommandError
from gateway.agent.protocol import AwayError
from gateway.agent.protocols.openvpn.handshakes import Handshakes
from gateway.agent.protocols.openvpn.management import GoneError, Management, Request, Session

log = logging.getLogger(__name__)

ISSUER = "tls_digest_sha256_1"
"""The fingerprint of who issued the client's certificate. The CA has other gateways' issuers below it, too."""
RETRY_S = 0.2
TOLD_BEFORE_S = 0.05
"""A client that is told of its end comes back at once and is refused. `kill` alone tells it nothing, and the telling
alone would let it go on for five seconds (scheduled_exit_interval)."""
NOT_NOW = '"not now" "try again"'
REFUSAL = '"not on the list" "device is not on the list"'


class AllowList(Protocol):
    """Who may have a session."""

    def has(self, name: str) -> bool:
        """Whether a device of this name is on the list."""

    async def welcome(self, name: str) -> Sequence[str]:
        """Make way for a device that comes in; lines of its own configuration, such as `ifconfig-push 10.90.0.10
        255.255.255.0`. CommandError if that cannot be."""


class Sessions:
    """Keeps the sessions of one process in line with the list."""

    def __init__(self, socket: Path, issuer: str, allow_list: AllowList) -> None:
        self._socket = socket
        self._issuer = issuer
        self._list = allow_list
        self._handshakes = Handshakes(socket.with_suffix(".handshakes"))
        self._management: Management | None = None
        self._is_there = True
        """Whether there is a process, as far as is known."""

    @property
    def is_kept(self) -> bool:
        """Whether OpenVPN asks this agent."""
        return self._management is not None

    async def keep(self) -> None:
        """Answer OpenVPN, whenever it is there, until cancelled."""
        while True:
            with suppress(GoneError):
                self._is_there = False
                management = await Management.open(self._socket)
                self._is_there = True
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
        """End the sessions of devices that are off the list already, at once.

        AwayError if there is no process, CommandError if it does not answer.
        """
        await _end(self._conversation(), names)

    async def drop(self, name: str) -> None:
        """End a device's session and tell it nothing, for it has another one elsewhere; errors as of `end`."""
        await _tolerated(self._conversation(), f"kill {name}")

    async def all(self) -> list[Session]:
        """Everybody who is there; errors as of `end`."""
        found = await self._conversation().sessions()
        self._handshakes.keep([one.client for one in found])
        return found

    def _conversation(self) -> Management:
        if self._management:
            return self._management
        if self._is_there:
            raise CommandError("OpenVPN does not talk to the agent just now")
        raise AwayError("OpenVPN does not run")

    async def _settle(self, management: Management) -> None:
        """See to what happened while nobody had the conversation."""
        sessions = await management.sessions()
        await _end(management, {one.name for one in sessions if one.name and not self._list.has(one.name)})
        staying = [one for one in sessions if one.name and self._list.has(one.name)]
        for session in staying:
            if not session.is_in:  # its request went unheard: it makes another one
                await _tolerated(management, f"client-kill {session.client}")
                continue
            for handshake in self._handshakes.unheard(session.client):
                await _tolerated(management, f"client-auth-nt {session.client} {handshake}")
        self._handshakes.keep([session.client for session in staying])

    async def _answer(self, management: Management, request: Request) -> None:
        name = request.env.get("common_name", "")
        handshake = f"{request.client} {request.key}"
        if request.env.get(ISSUER) != self._issuer or not self._list.has(name):
            log.info("a client at %s is refused: it is not on the list", request.env.get("untrusted_ip", "?"))
            await _tolerated(management, f"client-deny {handshake} {REFUSAL}")
        elif request.again:
            await _tolerated(management, f"client-auth-nt {handshake}")
            self._handshakes.answered(request.client, request.key)
        else:
            try:
                options = await self._list.welcome(name)
            except CommandError as error:
                log.warning("a device on the list cannot come in just now: %s", error)
                await _tolerated(management, f"client-deny {handshake} {NOT_NOW}")
            else:
                await _tolerated(management, f"client-auth {handshake}", *options, "END")
                self._handshakes.answered(request.client, request.key)


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
