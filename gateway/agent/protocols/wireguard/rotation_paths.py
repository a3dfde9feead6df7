"""The way back to devices that still use the previous key: nft's table (`rotation_rules`), a rule, and routes."""

import json
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from gateway.agent import link
from gateway.agent.command import CommandError, run
from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.firewall import Listing, list_table
from gateway.agent.pool import Network, addresses
from gateway.agent.protocols.wireguard import reverse_path
from gateway.agent.protocols.wireguard.rotation_rules import (
    MARK,
    REMOVED,
    TABLE,
    VERSIONS,
    event_rules,
    move,
    rules,
    set_name,
)
from gateway.agent.store import Device

log = logging.getLogger(__name__)

ROUTES = 5182
"""Number of the routing table, and priority of the rule that leads to it: before tailscaled's, which begin at 5210."""

RESTORE_EVERY_S = 1.0


class Paths:
    """Leads what is for some devices to the previous key's interface."""

    def __init__(self, present: WireGuardIdentity, previous: WireGuardIdentity, networks: tuple[Network, ...]) -> None:
        self._rules = rules(present, previous)
        self._event_rules = event_rules(present, previous)
        self._interface = previous.interface
        self._networks = networks
        self._put: Listing | None = None
        self._routed: int | None = None
        """The interface, by the kernel's number, that has the routes."""
        self._restored_at = 0.0
        """On the monotonic clock."""
        self._trouble: str | None = None

    def is_due(self) -> bool:
        """Whether to look now: a second is over, or the interface is another than the one that has the routes."""
        is_other = link.is_up(self._interface) and link.index(self._interface) != self._routed
        return is_other or time.monotonic() - self._restored_at >= RESTORE_EVERY_S

    async def restore(self, unmoved: Callable[[], Iterable[Device]]) -> bool:
        """Put in place what is not as it should be; whether the table is new and begins with those still unmoved."""
        self._restored_at = time.monotonic()
        is_new = False
        listing = await list_table(TABLE, "--terse")
        if listing is None or listing != self._put:
            text = self._rules
            if is_new := not self._is_known(listing):
                text = "\n".join((REMOVED, text, self._move(unmoved(), to_previous=True)))
            await run("nft", "-f", "-", stdin=f"{text}\n")
            await self._tell_events()
            self._put = await list_table(TABLE, "--terse")
        await self._lead()
        return is_new

    async def move(self, devices: Iterable[Device], *, to_previous: bool) -> None:
        """These use the previous key from now on, or the present one."""
        if change := self._move(devices, to_previous=to_previous):
            await run("nft", "-f", "-", stdin=f"{change}\n")

    def _is_known(self, listing: Listing | None) -> bool:
        """Whether a table is there and is of this rotation: then it has learned what no other knows."""
        names = {entry["name"] for item in listing or [] for kind, entry in item.items() if kind == "set"}
        return set_name(self._interface, 4) in names

    async def _tell_events(self) -> None:
        """A kernel without NFLOG goes without: the look every second finds who has moved."""
        try:
            await run("nft", "-f", "-", stdin=self._event_rules)
            self._trouble = None
        except CommandError as error:
            if str(error) != self._trouble:
                log.warning("devices that take up the new key are found within a second, not at once: %s", error)
            self._trouble = str(error)

    async def _lead(self) -> None:
        appeared = link.index(self._interface)
        if not link.is_up(self._interface):
            return  # its tunnel sets it up
        await reverse_path.loosen(self._interface)
        for network in self._networks:
            flag = f"-{network.version}"
            if not await _rules(flag):
                await run("ip", flag, "rule", "add", *_RULE)
            wanted = (str(network), self._interface)
            if wanted not in {(route["dst"], route["dev"]) for route in await _routes(flag)}:
                await run("ip", flag, "route", "replace", wanted[0], "dev", wanted[1], "table", str(ROUTES))
        self._routed = appeared

    def _move(self, devices: Iterable[Device], *, to_previous: bool) -> str:
        found: dict[int, list[str]] = {version: [] for version in VERSIONS}
        for device in devices:
            for address in addresses(self._networks, device.number):
                found[6 if ":" in address else 4].append(address.split("/")[0])
        return move(self._interface, found, to_previous=to_previous)


_RULE = ("pref", str(ROUTES), "fwmark", f"{MARK:#x}/{MARK:#x}", "lookup", str(ROUTES))


async def remove() -> None:
    """Leave nothing of it behind, whoever put it there."""
    await run("nft", "-f", "-", stdin=REMOVED)
    for flag in ("-4", "-6"):
        for _ in await _rules(flag):
            await run("ip", flag, "rule", "delete", *_RULE)
        if await _routes(flag):
            await run("ip", flag, "route", "flush", "table", str(ROUTES))


async def _rules(flag: str) -> list[dict[str, Any]]:
    return list(json.loads(await run("ip", "-json", flag, "rule", "show", "pref", str(ROUTES))))


async def _routes(flag: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(await run("ip", "-json", flag, "route", "show", "table", str(ROUTES))))
    except CommandError:  # a table without routes does not exist
        return []
