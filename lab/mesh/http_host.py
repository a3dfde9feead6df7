"""A small web server for both ends of a proof by packets; runs on the standard library alone.

`GET /` answers {"host": its own name, "caller": the address that asked}; `GET /download/<bytes>`
sends so many bytes. It listens on port 80 of every address, IPv4 and IPv6.
"""

import json
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 80
LARGEST_DOWNLOAD = 10**10
CHUNK = bytes(64 * 1024)


class HttpHost(ThreadingHTTPServer):
    """The server, on all addresses of both families."""

    address_family = socket.AF_INET6

    def __init__(self, name: str, port: int = PORT) -> None:
        self.name = name
        super().__init__(("::", port), Handler)

    def server_bind(self) -> None:
        """Bind so that IPv4 callers are served too, as ::ffff:a.b.c.d."""
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: HttpHost
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer `/` and `/download/<bytes>`."""
        if self.path == "/":
            caller = self.client_address[0].removeprefix("::ffff:")
            body = json.dumps({"host": self.server.name, "caller": caller}).encode() + b"\n"
            self._begin("application/json", len(body))
            self.wfile.write(body)
            return
        count = self.path.removeprefix("/download/")
        if self.path == count or not count.isdecimal() or int(count) > LARGEST_DOWNLOAD:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._begin("application/octet-stream", int(count))
        self._send(int(count))

    def _begin(self, content_type: str, length: int) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send(self, count: int) -> None:
        while count > 0:
            self.wfile.write(CHUNK[:count])
            count -= len(CHUNK)


if __name__ == "__main__":
    HttpHost(sys.argv[1]).serve_forever()
