"""ESP by the kernel, where it has that: an XFRM interface stands in for charon's own tun device, with its name.

charon gives the kernel states and policies that are bound to the interface's id, and takes them back as sessions end.
A charon that is killed leaves them: packets still go out, and would come in by the next one's port. So each charon gets
a new interface, and nothing else.
"""

import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from gateway.agent.command import CommandError, run
from gateway.agent.endpoints import IPSEC_INTERFACE, NAT_PORT

log = logging.getLogger(__name__)

IF_ID = 0x6D67
"""Whose states and policies are ours: the machine may have other IPsec."""
_TRIED = "dst ::1 proto esp spi 0x6d67"
_CIPHER = ("aead", "rfc4106(gcm(aes))", f"0x{bytes(20).hex()}", "128")


async def is_there() -> bool:
    """Whether this kernel does ESP in UDP, by an XFRM interface: it is asked for one of each.

    They are of IPv6: kernels learnt that later than the same of IPv4.
    """
    state = ("ip", "xfrm", "state")
    try:
        await _remove_left()
        await run(
            *(*state, "add", "src", "::1", *_TRIED.split(), "mode", "tunnel", *_CIPHER, "if_id", hex(IF_ID)),
            *("encap", "espinudp", str(NAT_PORT), str(NAT_PORT), "::"),
        )
        await run(*state, "delete", *_TRIED.split())
        await renew()
    except CommandError as error:
        log.info("no ESP in this kernel (%s): charon does it", error)
        return False
    return True


async def renew() -> None:
    """Make the interface, without what a charon before has left; CommandError."""
    await _remove_left()
    await run("ip", "link", "add", IPSEC_INTERFACE, "type", "xfrm", "if_id", hex(IF_ID))
    await run("ip", "link", "set", "dev", IPSEC_INTERFACE, "up")


async def remove() -> None:
    """Take the interface away, and with it the routes to devices."""
    with suppress(CommandError):
        await _remove_left()


async def is_used() -> bool:
    """Whether charon, which runs, leaves ESP to the kernel; CommandError."""
    listed = json.loads(await run("ip", "-json", "link", "show", "type", "xfrm") or "[]")
    return any(one.get("ifname") == IPSEC_INTERFACE for one in listed)


async def shut_out(addresses: Collection[str]) -> None:
    """Let nothing more pass to and from these (10.77.0.5/32), without a charon that could do it; CommandError."""
    if await is_used():
        policies = _deletions("policy", 2, await _listed("policy"))
        await _batch(one for one in policies if not set(addresses).isdisjoint(one.split()))


async def _remove_left() -> None:
    await _batch([*_deletions("policy", 2, await _listed("policy")), *_deletions("state", 4, await _listed("state"))])
    if await is_used():
        await run("ip", "link", "delete", "dev", IPSEC_INTERFACE)


async def _batch(commands: Iterable[str]) -> None:
    await run("ip", "-batch", "-", stdin="".join(f"{command}\n" for command in commands))


async def _listed(what: str) -> str:
    return await run("ip", "xfrm", what, "list", *(["nokeys"] if what == "state" else []))


def _deletions(what: str, words: int, listed: str) -> Iterator[str]:
    """A command for each of ours: its ends, and so many words of its second line, are its name."""
    for one in re.split(r"\n(?=src )", listed):
        if re.search(rf"\bif_id {IF_ID:#x}\b", one):
            ends, rest, *_ = one.splitlines()
            number = f" if_id {IF_ID:#x}" if what == "policy" else ""
            yield f"xfrm {what} delete {ends.strip()} {' '.join(rest.split()[:words])}{number}"
