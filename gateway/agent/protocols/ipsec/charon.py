"""The conversation with charon, strongSwan's IKE daemon, by its vici socket.

The library waits for each answer, so commands have a thread of their own, and events another one with its own socket.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vici import Session
from vici.exception import CommandException, DeserializationException, SessionException

from gateway.agent.command import CommandError
from gateway.agent.protocol import AwayError

DEADLINE_S = 10.0
"""Every command is answered in milliseconds, but for those to thousands of sessions."""

Message = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Command:
    """One command of vici (strongSwan, src/libcharon/plugins/vici/README.md)."""

    name: str
    message: Message
    streams: str = ""
    """The event that carries its answers, if it has many."""
    may_fail: bool = False
    """Whether what it is about may have gone already."""


@dataclass(frozen=True)
class IkeSession:
    """An IKE_SA, by whichever connection it came in."""

    connection: str
    id: str
    endpoint: str
    """The client's address and port."""


class Charon:
    """Two sockets to one life of charon. When one breaks both end, and so does `events`."""

    def __init__(self, commands: socket.socket, events: socket.socket) -> None:
        self._sockets = (commands, events)
        self._session = Session(commands)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="charon")
        self._events: asyncio.Queue[Message | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def tell(message: Message | None) -> None:
            with suppress(RuntimeError):  # the agent ends
                loop.call_soon_threadsafe(self._events.put_nowait, message)

        threading.Thread(target=_listen, args=(Session(events), tell), name="charon-events", daemon=True).start()

    @classmethod
    async def open(cls, path: Path) -> "Charon":
        """Talk to the charon that listens there; AwayError if none does."""
        try:
            return cls(_connected(path), _connected(path))
        except OSError as error:
            raise AwayError(f"charon does not run: {path}: {error.strerror}") from error

    async def run(self, commands: Iterable[Command]) -> None:
        """Give commands in their order; CommandError if one is refused, AwayError if charon has gone."""
        await self._call(self._run, list(commands))

    async def sessions(self, connections: Iterable[str] | None = None) -> list[IkeSession]:
        """All IKE sessions, or those of some connections; errors as of `run`."""
        if connections is None:
            return await self._call(self._list, {})
        return [one for name in connections for one in await self._call(self._list, {"ike": name})]

    async def connections(self) -> list[str]:
        """The names of all connections that are loaded; errors as of `run`."""
        return await self._call(self._connections)

    async def events(self) -> AsyncIterator[Message]:
        """What charon says of sessions that begin or end, until the conversation breaks."""
        while (message := await self._events.get()) is not None:
            yield message

    def close(self) -> None:
        """End the conversation."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._thread.shutdown(wait=False)

    def _run(self, commands: list[Command]) -> None:
        for command in commands:
            with suppress(*([CommandException] if command.may_fail else [])):
                if command.streams:
                    list(self._session.streamed_request(command.name, command.streams, command.message))
                else:
                    self._session.request(command.name, command.message)

    def _connections(self) -> list[str]:
        return [name.decode() for name in self._session.request("get-conns")["conns"]]

    def _list(self, message: Message) -> list[IkeSession]:
        found = self._session.streamed_request("list-sas", "list-sa", message)
        return [_session(name, one) for answer in list(found) for name, one in answer.items()]

    async def _call(self, call: Callable[..., Result], *arguments: object) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)
        except CommandException as error:
            raise CommandError(f"charon refuses: {error}") from error
        except TimeoutError as error:
            self.close()  # what it answers later would be taken for the next answer
            raise CommandError(f"charon does not answer within {DEADLINE_S:.0f} s") from error
        except (OSError, RuntimeError, SessionException, DeserializationException) as error:
            self.close()
            raise AwayError("charon has gone") from error


def _connected(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(DEADLINE_S)
    try:
        made.connect(str(path))
    except OSError:
        made.close()
        raise
    return made


def _listen(session: Session, tell: Callable[[Message | None], None]) -> None:
    try:
        for _, message in session.listen(["ike-updown"], timeout=None):
            tell(message)
    except (OSError, SessionException, DeserializationException):
        pass
    finally:
        tell(None)


def _session(connection: str, said: Mapping[str, Any]) -> IkeSession:
    host = said.get("remote-host", b"").decode()
    host = f"[{host}]" if ":" in host else host
    return IkeSession(
        connection,
        said["uniqueid"].decode(),
        f"{host}:{said.get('remote-port', b'0').decode()}",
    )
