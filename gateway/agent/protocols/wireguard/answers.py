"""NFLOG as an event: the gateway has answered a handshake of a device that may have moved to another of its keys.

A device that only keeps its NAT open sends no packet through the tunnel, from which nft could learn (`rotation_rules`).
What the messages hold does not matter: whoever is told looks at the interfaces.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.agent import netlink
from gateway.agent.protocols.wireguard.rotation_rules import LOG_GROUP

log = logging.getLogger(__name__)

# linux/netfilter/nfnetlink_log.h
_CONFIG = 4 << 8 | 1
_COMMAND, _MODE, _TIMEOUT, _THRESHOLD = 1, 2, 4, 5
_BIND = 1
_COPY_META = 1


@contextmanager
def answered() -> Iterator[asyncio.Event]:
    """Set whenever a device may have moved; never, if another program has the group or the kernel has no NFLOG."""
    event = asyncio.Event()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER) as listener:
        try:
            _bind(listener)
        except OSError as error:
            log.warning("devices that move are found within a second, not at once: NFLOG: %s", error.strerror)
            yield event
            return
        loop = asyncio.get_running_loop()

        def take() -> None:
            netlink.drain(listener)
            event.set()

        loop.add_reader(listener, take)
        try:
            yield event
        finally:
            loop.remove_reader(listener)


def _bind(listener: socket.socket) -> None:
    listener.bind((0, 0))
    head = struct.pack("=BBH", socket.AF_UNSPEC, 0, socket.htons(LOG_GROUP))
    at_once = netlink.attribute(_TIMEOUT, struct.pack("!I", 1)) + netlink.attribute(_THRESHOLD, struct.pack("!I", 1))
    mode = netlink.attribute(_MODE, struct.pack("!IBx", 0, _COPY_META))
    for configuration in (netlink.attribute(_COMMAND, bytes([_BIND])), mode + at_once):
        netlink.ask(listener, netlink.request(_CONFIG, head + configuration))
