"""The kernel's check of source addresses (rp_filter), which would drop whatever comes in by the previous interface.

The main table leads back to devices by the present one alone. The strict check takes that for a spoofed source; the
loose one does not. In a container /proc/sys cannot be written, so netlink says it (linux/if_link.h, linux/ip.h).
"""

import asyncio
import socket
import struct
from pathlib import Path

from gateway.agent import link, netlink
from gateway.agent.command import CommandError

STRICT, LOOSE = 1, 2
_SET_LINK = 19
_AF_SPEC, _INET_CONF, _RP_FILTER = 26, 1, 8


async def loosen(interface: str) -> None:
    """Make the check loose where it is strict; CommandError if the kernel refuses."""
    if max(_check("all"), _check(interface)) == STRICT:
        try:
            await asyncio.to_thread(_set, link.index(interface) or 0, LOOSE)
        except OSError as error:
            raise CommandError(f"rp_filter of {interface} cannot be loosened: {error.strerror}") from error


def _check(interface: str) -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/conf", interface, "rp_filter").read_text())
    except OSError:
        return 0


def _set(index: int, value: int) -> None:
    setting = netlink.nested(_INET_CONF, netlink.attribute(_RP_FILTER, struct.pack("=I", value)))
    change = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
    change += netlink.nested(_AF_SPEC, netlink.nested(socket.AF_INET, setting))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.ROUTE) as route:
        netlink.ask(route, netlink.request(_SET_LINK, change))
