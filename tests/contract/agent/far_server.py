"""The far host's TCP server: `GET n` answers n bytes, `PUT n` reads n bytes; both end with the sender's address."""

import socket
import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        verb, count = self.rfile.readline().split()
        if verb == b"GET":
            self.wfile.write(bytes(int(count)))
        else:
            assert len(self.rfile.read(int(count))) == int(count)
        self.wfile.write(self.client_address[0].encode())


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True


if __name__ == "__main__":
    with Server(("::", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
