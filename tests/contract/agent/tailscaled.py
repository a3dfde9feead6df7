"""A stand-in for tailscaled's socket: what a logged-out, a joined and an ill tailscaled say there, at will."""

import http.server
import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Tailscaled(socketserver.UnixStreamServer):
    """tailscaled's socket."""

    state: str

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """A connection, with an address as the handler wants one."""
        connection, _ = super().get_request()
        return connection, ("", 0)


@contextmanager
def answering(path: Path, state: str) -> Iterator[Tailscaled]:
    """It answers there with its `state`, which can be set anew."""
    with Tailscaled(str(path), _Answer) as daemon:
        daemon.state = state
        threading.Thread(target=daemon.serve_forever, daemon=True).start()
        yield daemon
        daemon.shutdown()


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Tailscaled

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"BackendState": self.server.state}).encode())

    def log_message(self, *args: object) -> None:
        """Nothing."""
