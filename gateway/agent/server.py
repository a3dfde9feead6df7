"""The agent's listeners: sockets, TLS, and how connections come in. `connections` has what becomes of one.

Connections are accepted here, not by asyncio, so that bounds count before the TLS handshake, too.
"""

import asyncio
import contextlib
import json
import logging
import socket
import ssl
from email.utils import formatdate
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from gateway.agent.admission import Admission, Bounds, subject
from gateway.agent.connections import HEAD_DEADLINE_S, IDLE_DEADLINE_S, READER_DEADLINE_S, Connection
from gateway.agent.problems import MEDIA_TYPE, members
from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError
from gateway.agent.throttling import SLOW_AT_ONCE, Failures
from gateway.agent.value_types import EVERY_ADDRESS

log = logging.getLogger(__name__)

API_BOUNDS = Bounds(total=512, each=128)
"""An HTTP client's pool often has 100 connections."""
PROBE_BOUNDS = Bounds(total=64, each=16, listener="probes")
BACKLOG = 1024
ACCEPTED_AT_ONCE = 16
"""Then requests get their turn."""
SLOW_START_S = 1.0
"""How long a connection of a slow address waits before anything of it is read."""
FAILED_PAUSE_S = 0.1
END_S = 0.5
"""What is being answered at the end of the agent gets this time."""


def listen(setting: str, host: str, port: int) -> socket.socket:
    """A listening socket; SettingsError, which names the setting of the port, if the address cannot be had.

    EVERY_ADDRESS is IPv6's and IPv4's, or IPv4's alone where the kernel has no IPv6.
    """
    if host == EVERY_ADDRESS and not socket.has_dualstack_ipv6():
        host = "0.0.0.0"  # noqa: S104 - as the setting says
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=family is socket.AF_INET6
        )
    except OSError as error:
        raise SettingsError(f"{setting}: cannot listen on {host}, port {port}: {error.strerror}") from error
    # Head and body of an answer are two writes: the second must not wait 40 ms for a delayed acknowledgement.
    # asyncio sees to that only for sockets that name their protocol; connections inherit it from their listener.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    return listener


def certificate(settings: AgentSettings) -> ssl.SSLContext | None:
    """The API's certificate, if it has one; SettingsError if it cannot be used."""
    if settings.tls_certificate_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_private_key_file)
    except OSError as error:  # an SSLError is one, too
        raise SettingsError(
            f"MESHGATE_TLS_CERTIFICATE_FILE: {settings.tls_certificate_file} and {settings.tls_private_key_file} are "
            f"not a certificate in PEM and its private key: {error.strerror}"
        ) from error
    return context


async def serve(
    app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None = None, bounds: Bounds = API_BOUNDS
) -> None:
    """Answer requests until cancelled: plain logs, and no access log, since the metrics count."""
    config = uvicorn.Config(
        app,
        http="h11",
        lifespan="off",
        ws="none",
        log_config=None,
        log_level=logging.ERROR,  # a caller's mistakes are no line in the log
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(IDLE_DEADLINE_S),
    )
    config.load()
    door = Door(config, tls, bounds.within_descriptors())
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(door.accept(listener))
            tasks.create_task(_tell_time(door.state))
    finally:
        listener.close()
        await door.close()


async def _tell_time(state: ServerState) -> None:
    while True:
        state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        await asyncio.sleep(1)


class Door:
    """Lets connections in, and has them all."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None, bounds: Bounds) -> None:
        self.state = ServerState()
        self._config = config
        self._tls = tls
        self._admission = Admission(bounds)
        self._failures = Failures()

    async def accept(self, listener: socket.socket) -> None:
        """Take what comes, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                failed = loop.create_future()
                loop.add_reader(listener, self._accept, listener, failed)
                error = await failed
                loop.remove_reader(listener)
                log.warning("no connection can be accepted: %s", error)
                self._admission.make_room()
                await asyncio.sleep(FAILED_PAUSE_S)
        finally:
            loop.remove_reader(listener)

    async def close(self) -> None:
        """End all connections, those with a request a little later."""
        for connection in list(self.state.connections):
            connection.shutdown()
        if self.state.tasks:
            await asyncio.wait(self.state.tasks, timeout=END_S)
        self._admission.cut_all()

    def _accept(self, listener: socket.socket, failed: asyncio.Future[OSError]) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                connected, peer = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # above all that the process may open no more files
                if not failed.done():
                    failed.set_result(error)
                return
            connected.setblocking(False)
            self._receive(connected, subject(peer[0]))

    def _receive(self, connected: socket.socket, address: str) -> None:
        slow = self._failures.slow(address)
        if slow and self._admission.strangers(address) >= SLOW_AT_ONCE:
            self._admission.count("address")
            self._refuse(connected)
            return
        connection = Connection(self._config, self.state, address, self._failures, self._admission)
        if not self._admission.admit(connection):
            self._refuse(connected)
            return
        connection.welcome = asyncio.create_task(self._welcome(connection, connected, SLOW_START_S if slow else 0))

    async def _welcome(self, connection: Connection, connected: socket.socket, wait_s: float) -> None:
        try:
            if wait_s:
                await asyncio.sleep(wait_s)
            deadlines = {"ssl_handshake_timeout": HEAD_DEADLINE_S, "ssl_shutdown_timeout": READER_DEADLINE_S}
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, connected, ssl=self._tls, **(deadlines if self._tls else {})
            )
        except OSError:
            self._failures.note(connection.address)  # a TLS handshake that came to nothing
        finally:
            if connection.transport is None:
                connected.close()
                self._admission.leave(connection)

    def _refuse(self, connected: socket.socket) -> None:
        """Answer without a look at the request, the cheapest way there is; TLS is not begun for that."""
        if self._tls is None:
            with contextlib.suppress(OSError):
                connected.send(_REFUSAL)
        connected.close()


def _refusal() -> bytes:
    detail = "this address has too many connections, or sent too many wrong requests: wait a second"
    body = json.dumps(members(HTTPStatus.TOO_MANY_REQUESTS, detail)).encode()
    return (
        f"HTTP/1.1 429 Too Many Requests\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\n"
        "retry-after: 1\r\nconnection: close\r\n\r\n"
    ).encode() + body


_REFUSAL = _refusal()
