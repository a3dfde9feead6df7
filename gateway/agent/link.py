"""The network side of the interface by way of `ip`: is it there, its addresses, its MTU, its counters."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from gateway.agent.command import CommandError, run
from gateway.agent.protocol import Traffic
from gateway.agent.settings import AgentSettings

log = logging.getLogger(__name__)

LINKS_EVERY_S = 0.2

IFF_UP = 1
"""In the flags of an interface (linux/if.h)."""


def index(interface: str) -> int | None:
    """The kernel's number of the interface, None when there is none.

    An interface that went and came back under its name has another number.
    """
    try:
        return socket.if_nametoindex(interface)
    except OSError:
        return None


def traffic(interface: str) -> Traffic | None:
    """Bytes that the interface has received and sent; None when there is none."""
    counters = Path("/sys/class/net", interface, "statistics")
    try:
        return Traffic(*(int((counters / name).read_text()) for name in ("rx_bytes", "tx_bytes")))
    except OSError:
        return None


def is_up(interface: str) -> bool:
    """Whether the interface is there and set up."""
    try:
        flags = int(Path("/sys/class/net", interface, "flags").read_text(), 16)
    except OSError:
        return False
    return bool(flags & IFF_UP)


async def configure(interface: str, wanted: Collection[str], mtu: int) -> None:
    """Give the interface exactly these addresses (10.77.0.1/24), its MTU, and set it up.

    What is right already is left as it is. Routes to the addresses' networks come with them.
    """
    (link,) = json.loads(await run("ip", "-json", "address", "show", "dev", interface))
    present = {
        f"{address['local']}/{address['prefixlen']}" for address in link["addr_info"] if address["scope"] == "global"
    }
    missing = sorted(set(wanted) - present)
    of_ipv4, of_ipv6 = ([one for one in missing if (":" in one) == is_ipv6] for is_ipv6 in (False, True))
    # With its last IPv4 address an interface would lose all IPv4 routes. IPv6 has an address with one length at a time.
    changes = {"add": of_ipv4, "delete": sorted(present.difference(wanted)), "replace": of_ipv6}
    for change, addresses in changes.items():
        for address in addresses:
            await run("ip", "address", change, address, "dev", interface)
    if link["mtu"] != mtu or "UP" not in link["flags"]:
        await run("ip", "link", "set", "dev", interface, "mtu", str(mtu), "up")


async def keep_mtu(names: Iterable[str], settings: Callable[[], AgentSettings]) -> None:
    """Set each interface without addresses up as it appears, with the MTU of the settings, until cancelled."""
    known: dict[str, tuple[int | None, int]] = {}
    while True:
        for name in names:
            now = (index(name), settings().mtu)
            if now != known.get(name) and now[0] is not None:
                try:
                    await configure(name, (), now[1])
                    known[name] = now
                except CommandError as error:
                    log.warning("the interface %s is not as it should be: %s", name, error)
        await asyncio.sleep(LINKS_EVERY_S)
