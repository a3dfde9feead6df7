"""One connection to the agent: uvicorn's HTTP/1.1 on h11, with a deadline for whatever a caller may leave undone."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from http import HTTPStatus

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from gateway.agent.admission import Admission
from gateway.agent.problems import MEDIA_TYPE, members
from gateway.agent.throttling import Failures

HEAD_DEADLINE_S = 5.0
"""From the connection to the end of its first request's head."""
IDLE_DEADLINE_S = 15.0
"""From an answer to the end of the next request's head; more than the 5 s that clients keep connections for."""
READER_DEADLINE_S = 10.0
"""In which some of an answer must be taken."""
LINGER_S, LINGER_BYTES = 1.0, 256 * 1024
"""What a caller may still send that has its answer already; closed at once, it might never see that answer."""


class Connection(H11Protocol):
    """A connection from its acceptance to its end.

    The application finds it as `caller` in the request's state, and tells it whether the token was good.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        address: str,
        failures: Failures,
        admission: Admission,
    ) -> None:
        super().__init__(config, server_state, {"caller": self})
        self.address = address
        self.trusted = False
        self.welcome: asyncio.Task[None] | None = None
        """What brings it here, TLS included; then it has a transport."""
        self._failures = failures
        self._admission = admission
        self._leaving = False
        self._discarded = 0
        self._unsent = 0
        self._reader_check: asyncio.TimerHandle | None = None

    @property
    def busy(self) -> bool:
        """Whether a request of it is being served. An answer that waits for its reader is none."""
        return self.cycle is not None and not self.cycle.response_complete

    def cut(self) -> None:
        """End it at once, whatever it is about."""
        if self.transport is not None:
            self.transport.abort()
        elif self.welcome is not None:
            self.welcome.cancel()

    def trust(self) -> None:
        """A good token has come."""
        self.trusted = True

    def distrust(self) -> None:
        """No good token has come."""
        self.trusted = False
        self._failures.note(self.address)

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock of the first head starts."""
        super().connection_made(transport)
        # pause_writing then tells of all that nobody takes. (With 0 asyncio's TLS would pause when all is taken.)
        transport.set_write_buffer_limits(high=1, low=0)
        self._end_in(HEAD_DEADLINE_S, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """As uvicorn's, but a byte does not stop the clock: only a whole head does, in `handle_events`."""
        if not self._leaving:
            self.conn.receive_data(data)
            self.handle_events()
            return
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self.transport.abort()

    def pause_writing(self) -> None:
        """The caller does not take what it gets: its clock starts."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has taken all."""
        super().resume_writing()
        self._unwatch_reader()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, by whomever."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._unwatch_reader()
        if self.scheme == "https" and self.cycle is None:
            self._failures.note(self.address)  # handshakes cost more than requests
        self._admission.leave(self)

    # What uvicorn calls

    def on_response_complete(self) -> None:
        """Wait for the next request, if this one is whole and the caller is worth it."""
        unfinished = self.conn.their_state is h11.SEND_BODY
        unwelcome = not self.trusted and self._failures.slow(self.address)
        if not (unfinished or unwelcome):
            super().on_response_complete()
        elif not self.transport.is_closing():
            self._leave()

    def timeout_keep_alive_handler(self) -> None:
        """No head has come in time."""
        if not self.transport.is_closing():
            self._admission.count("head" if self.cycle is None else "idle")
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own sentence
        """Answer what is no HTTP, if an answer can still be told from one that has begun."""
        self._failures.note(self.address)
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE} and not (self.busy and self.cycle.response_started):
            body = json.dumps(members(HTTPStatus.BAD_REQUEST, "the request is not HTTP/1.1, or its head is too large"))
            headers = [("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close")]
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=body.encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._leave()

    def shutdown(self) -> None:
        """End it, after the answer that is being made."""
        if not self._leaving:
            super().shutdown()

    def _leave(self) -> None:
        """Say no more, and let the caller read what was said."""
        self._leaving = True
        self.flow.resume_reading()
        if self.transport.can_write_eof() and not self.transport.get_write_buffer_size():
            with contextlib.suppress(OSError):  # the caller has gone
                self.transport.write_eof()
        self._end_in(LINGER_S, self.transport.abort)

    def _end_in(self, seconds: float, end: Callable[[], None]) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, end)

    def _watch_reader(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._reader_check = self.loop.call_later(READER_DEADLINE_S, self._check_reader)

    def _check_reader(self) -> None:
        if self.transport.get_write_buffer_size() < self._unsent:
            self._watch_reader()
        else:
            self._admission.count("reader")
            self.transport.abort()

    def _unwatch_reader(self) -> None:
        if self._reader_check is not None:
            self._reader_check.cancel()
            self._reader_check = None
