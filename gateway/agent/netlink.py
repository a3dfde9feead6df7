"""Netlink, for what neither `ip` nor `nft` does: messages to the kernel and its acknowledgements (linux/netlink.h)."""

import os
import socket
import struct
from contextlib import suppress

ROUTE, NETFILTER = 0, 12
"""Families of netlink."""
_REQUEST, _ACKNOWLEDGE = 1, 4
_ERROR = 2
_NESTED = 0x8000
_ANSWER_BYTES = 8192
_DEADLINE_S = 5.0


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | _NESTED, b"".join(attributes))


def request(kind: int, payload: bytes) -> bytes:
    """A message that the kernel answers with an acknowledgement."""
    return struct.pack("=IHHII", 16 + len(payload), kind, _REQUEST | _ACKNOWLEDGE, 1, 0) + payload


def ask(netlink: socket.socket, message: bytes) -> None:
    """Send a request and wait for its acknowledgement; OSError if the kernel refuses. Other messages are lost."""
    netlink.settimeout(_DEADLINE_S)
    netlink.send(message)
    while True:
        answer = netlink.recv(_ANSWER_BYTES)
        kind, code = struct.unpack_from("=4xH10xi", answer)
        if kind == _ERROR:
            if code:
                raise OSError(-code, os.strerror(-code))
            return


def drain(netlink: socket.socket) -> None:
    """Read and forget what waits. That more came than there was room for is nothing to act on."""
    netlink.setblocking(False)
    with suppress(OSError):
        while True:
            netlink.recv(_ANSWER_BYTES)
