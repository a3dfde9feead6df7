"""OpenVPN's management interface, by its unix socket: events come, commands are answered (management-notes.txt, 2.6).

One client at a time has the socket. What happens while nobody has it is lost: nobody is told of it later.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from gateway.agent.command import CommandError

DEADLINE_S = 5.0
"""A process that was just killed takes a connection and then says nothing."""
ASKING = {"CONNECT": False, "REAUTH": True}
_CLIENT_LIST = "CLIENT_LIST"


class GoneError(CommandError):
    """The connection has ended: OpenVPN has, or somebody else took it over."""


@dataclass(frozen=True)
class Request:
    """A client asks to come in, or, `again`, to stay: its keys are renewed. It waits for the answer."""

    client: int
    """OpenVPN's number of the session."""
    key: int
    """Its number of this handshake."""
    again: bool
    env: Mapping[str, str] = field(repr=False)
    """common_name, tls_digest_sha256_0 (of the client's certificate, `ad:c6:…`), untrusted_ip and others."""


@dataclass(frozen=True)
class Session:
    """A client that has a session, or is about to have one."""

    client: int
    name: str
    """The common name of its certificate; empty before the handshake."""
    is_in: bool
    """Whether it was given an address."""
    endpoint: str
    """Where it is: address:port."""


class Management:
    """A connection to one OpenVPN process. Every method raises GoneError when that is not there."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._turn = asyncio.Lock()
        self._requests: asyncio.Queue[Request | None] = asyncio.Queue()
        self._answer: asyncio.Queue[str | None] = asyncio.Queue()
        self._asking: tuple[str, int, int] | None = None
        self._env: dict[str, str] = {}
        self._reading = asyncio.create_task(self._read(reader), name="openvpn-management")

    @classmethod
    async def open(cls, socket: Path) -> Self:
        """Connect to the socket."""
        try:
            return cls(*await asyncio.open_unix_connection(socket))
        except OSError as error:
            raise GoneError(f"OpenVPN cannot be asked at {socket}: {error.strerror}") from error

    async def close(self) -> None:
        """End the connection. Sessions go on."""
        self._writer.close()
        self._reading.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await self._reading
            await self._writer.wait_closed()

    async def requests(self) -> AsyncIterator[Request]:
        """Each client that waits for an answer, until OpenVPN is gone."""
        while request := await self._requests.get():
            yield request
        raise GoneError("OpenVPN has ended the conversation")

    async def command(self, *lines: str) -> str:
        """Give a command of one line or several; what OpenVPN says. CommandError if it refuses."""
        async with self._turn:
            await self._send(lines)
            said = await self._line()
        if said.startswith("ERROR:"):
            raise CommandError(f"OpenVPN refuses {lines[0].split(' ', 1)[0]}: {said.removeprefix('ERROR:').strip()}")
        return said

    async def sessions(self) -> list[Session]:
        """Everybody who is there."""
        async with self._turn:
            await self._send(("status 3",))
            rows = []
            while (line := await self._line()) != "END":
                rows.append(line.split("\t"))
        return [Session(int(row[10]), row[1], bool(row[3]), row[2]) for row in rows if row[0] == _CLIENT_LIST]

    async def _send(self, lines: tuple[str, ...]) -> None:
        try:
            self._writer.write("".join(f"{line}\n" for line in lines).encode())
            await self._writer.drain()
        except OSError as error:
            raise GoneError(f"OpenVPN cannot be told anything: {error.strerror}") from error

    async def _line(self) -> str:
        try:
            async with asyncio.timeout(DEADLINE_S):
                line = await self._answer.get()
        except TimeoutError as error:
            self._writer.close()  # its answer would be taken for the next command's
            raise GoneError(f"OpenVPN has not answered within {DEADLINE_S:.0f} s") from error
        if line is None:
            raise GoneError("OpenVPN has ended while it was asked")
        return line

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Tell events from answers, which may come between them."""
        try:
            with suppress(OSError):
                while line := await reader.readline():
                    text = line.decode(errors="replace").rstrip("\r\n")
                    if text.startswith(">"):
                        self._take(text[1:])
                    else:
                        self._answer.put_nowait(text)
        finally:
            self._requests.put_nowait(None)
            self._answer.put_nowait(None)

    def _take(self, event: str) -> None:
        kind, _, rest = event.partition(":")
        if kind != "CLIENT":
            return
        what, _, rest = rest.partition(",")
        if what != "ENV":
            numbers = rest.split(",")
            self._asking = (what, int(numbers[0]), int(numbers[1])) if what in ASKING else None
            self._env = {}
        elif rest != "END":
            name, _, value = rest.partition("=")
            self._env[name] = value
        elif self._asking:
            what, client, key = self._asking
            self._requests.put_nowait(Request(client, key, ASKING[what], self._env))
            self._asking = None
