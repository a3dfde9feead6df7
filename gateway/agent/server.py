"""The HTTP server: uvicorn, with its socket and its end in the agent's own hands."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from gateway.agent import measures
from gateway.agent.settings import AgentSettings, SettingsError

MAX_CONNECTIONS = 512


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: `run` decides on the end of the agent."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def listen(settings: AgentSettings) -> socket.socket:
    """The API's socket; SettingsError if its address cannot be had."""
    host, port = settings.http_host, settings.http_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, dualstack_ipv6=family is socket.AF_INET6)
    except OSError as error:
        raise SettingsError(f"MESHGATE_HTTP_PORT: cannot listen on {host}, port {port}: {error.strerror}") from error
    # Head and body of an answer are two writes: the second must not wait 40 ms for a delayed acknowledgement.
    # asyncio sees to that only for sockets that name their protocol; connections inherit it from their listener.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
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


async def serve(app: FastAPI, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
    """Answer requests until cancelled: plain logs, no access log (the metrics count), a bound on connections."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )
    server = Server(config)
    measures.CONNECTIONS.set_function(lambda: len(server.server_state.connections))
    await server.serve(sockets=[listener])
