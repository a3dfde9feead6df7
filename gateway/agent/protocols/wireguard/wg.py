"""The WireGuard interface by way of `wg`: it is read whole (`wg show dump`) and changed one thing at a time.

Secret keys go by stdin or file. `wg syncconf` is not used: it would start the handshake retries of every dead peer
anew.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.agent import link
from gateway.agent.command import CommandError, run
from gateway.agent.pieces import pieces
from gateway.agent.protocol import AwayError
from gateway.agent.protocols.wireguard.sockets import is_starting

CHUNK = 250
"""Peers per call when many change. wireguard-go takes 0.05 s for so many new ones (an ECDH each) and answers nothing
else meanwhile. Larger calls are not faster."""

_NO_KEY = "A" * 43 + "="  # as wg writes the absence of a preshared key into a configuration


@dataclass(frozen=True)
class SeenPeer:
    """A peer as the interface has it."""

    preshared_key: str | None = field(repr=False)
    endpoint: str | None
    allowed_ips: frozenset[str]
    last_handshake: int
    """Seconds since 1970, 0 for never."""
    keepalive: int
    """Seconds, 0 for none."""


@dataclass(frozen=True)
class SeenInterface:
    """The interface as it was at some moment after it was asked."""

    public_key: str | None
    listen_port: int
    lines: dict[str, str] = field(repr=False)
    """What `wg` says of each peer, by its key: text, for most of it is the same as a second before."""
    asked_at: float
    """On the monotonic clock."""

    def peer(self, public_key: str) -> SeenPeer | None:
        """One peer; None if the interface does not have it."""
        line = self.lines.get(public_key)
        return None if line is None else parse_peer(line)


@dataclass(frozen=True)
class WantedPeer:
    """A peer as the interface shall have it."""

    public_key: str
    allowed_ips: tuple[str, ...]
    preshared_key: str | None = field(default=None, repr=False)
    endpoint: str | None = None
    keepalive: int = 0


def parse_dump(dump: str, asked_at: float) -> SeenInterface:
    """Read the output of `wg show INTERFACE dump`: one line for the interface, one per peer, tabs between."""
    # One line at a time: of 50,000 peers, a list of all is 10 MB besides.
    lines = (line[0] for line in re.finditer(".+", dump))
    _, public_key, listen_port, _ = next(lines).split("\t")
    peers = dict(line.split("\t", 1) for line in lines)
    return SeenInterface(_known(public_key), int(listen_port), peers, asked_at)


def parse_peer(line: str) -> SeenPeer:
    """Read a peer's line of the dump, without its key."""
    preshared_key, endpoint, allowed_ips, handshake, _, _, keepalive = line.split("\t")
    return SeenPeer(
        preshared_key=_known(preshared_key),
        endpoint=_known(endpoint),
        allowed_ips=frozenset((_known(allowed_ips) or "").split(",")) - {""},
        last_handshake=int(handshake),
        keepalive=0 if keepalive == "off" else int(keepalive),
    )


def _known(text: str) -> str | None:
    return None if text == "(none)" else text


async def public_key_of(private_key: str) -> str:
    """The public key that belongs to a private key; CommandError if it is none."""
    return (await run("wg", "pubkey", stdin=private_key)).strip()


class WireGuard:
    """One interface. Every method raises AwayError when it is not there, and CommandError when it refuses."""

    def __init__(self, interface: str) -> None:
        self.interface = interface

    async def show(self) -> SeenInterface:
        """Everything the interface knows."""
        asked_at = time.monotonic()
        dump = await self._wg("show", self.interface, "dump")
        return await asyncio.to_thread(parse_dump, dump, asked_at)  # 10,000 peers would hold up requests

    async def set_identity(self, private_key_file: Path, listen_port: int) -> None:
        """Give the interface its key and UDP port; existing sessions end if the key is another."""
        await self._set("listen-port", str(listen_port), "private-key", str(private_key_file))

    async def forget_identity(self) -> None:
        """Take the interface's key away, and all peers with it: it answers nobody any more."""
        await self._set("private-key", "/dev/null")
        await self.remove_peers(list((await self.show()).lines))

    async def handshakes(self) -> dict[str, int]:
        """When each peer had its last handshake, in seconds since 1970; 0 for never."""
        listed = await self._wg("show", self.interface, "latest-handshakes")
        pairs = (line.split("\t") for line in listed.splitlines())
        return {key: int(when) for key, when in pairs}

    async def set_peer(self, peer: WantedPeer) -> None:
        """Let one peer in. If it is in already, its session, endpoint and keepalive stay as they are."""
        allowed_ips = ",".join(peer.allowed_ips)
        await self._set(
            *("peer", peer.public_key, "preshared-key", "/dev/stdin", "allowed-ips", allowed_ips),
            stdin=peer.preshared_key or "",
        )

    async def add_peers(self, peers: Sequence[WantedPeer]) -> None:
        """Let many peers in, each with its keepalive, and with its endpoint if that is given.

        Those that are in already keep their sessions.
        """
        turns = asyncio.Semaphore(2)  # one at work, and the next has started

        async def add(chunk: Sequence[WantedPeer]) -> None:
            async with turns:
                configuration = "".join(_section(peer) for peer in chunk)
                await self._wg("addconf", self.interface, "/dev/stdin", stdin=configuration)

        done = await asyncio.gather(*(add(chunk) for chunk in pieces(peers, CHUNK)), return_exceptions=True)
        if failures := [result for result in done if isinstance(result, BaseException)]:
            raise failures[0]

    async def remove_peers(self, public_keys: Sequence[str]) -> None:
        """Shut peers out, at once: their sessions are forgotten."""
        for chunk in pieces(public_keys, CHUNK):
            await self._set(*(word for key in chunk for word in ("peer", key, "remove")))

    async def _set(self, *change: str, stdin: str = "") -> None:
        await self._wg("set", self.interface, *change, stdin=stdin)

    async def _wg(self, *arguments: str, stdin: str = "") -> str:
        if is_starting(self.interface):  # wg would meet a socket that does not answer yet, and remove it
            raise CommandError(f"wireguard-go does not answer for the interface {self.interface} yet")
        try:
            return await run("wg", *arguments, stdin=stdin)
        except CommandError as error:
            if link.index(self.interface) is None:
                raise AwayError(f"the interface {self.interface} does not exist") from error
            raise


def _section(peer: WantedPeer) -> str:
    lines = [
        "[Peer]",
        f"PublicKey = {peer.public_key}",
        f"PresharedKey = {peer.preshared_key or _NO_KEY}",
        f"AllowedIPs = {', '.join(peer.allowed_ips)}",
        f"PersistentKeepalive = {peer.keepalive}",
    ]
    if peer.endpoint:
        lines.append(f"Endpoint = {peer.endpoint}")
    return "\n".join(lines) + "\n"
