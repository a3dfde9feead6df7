"""The gateway's firewall: one nft table, put in place in one transaction, and again whenever it does not stand."""

import json
import logging
from typing import Any

from gateway.agent.command import CommandError, run
from gateway.agent.firewall_rules import TABLE, rules
from gateway.agent.settings import AgentSettings
from gateway.agent.tasks import repeat

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
Listing = list[dict[str, dict[str, Any]]]
"""Sets, chains, rules and counters, as libnftables writes them in JSON."""
VARYING = {"handle", "packets", "bytes"}
"""What differs in a table that stands as it was put."""


async def list_table(table: tuple[str, str] = TABLE, *options: str) -> Listing | None:
    """What a table of the kernel holds, without counts and numbers; None when there is no such table."""
    listing = await _list(table, *options)
    return None if listing is None else _unvarying(listing)


async def _list(table: tuple[str, str], *options: str) -> Listing | None:
    try:
        listed = await run("nft", "--json", "--stateless", *options, "list", "table", *table)
    except CommandError:
        return None
    return list(json.loads(listed)["nftables"])


def _unvarying(listing: Listing) -> Listing:
    return [
        {kind: {name: value for name, value in entry.items() if name not in VARYING} for kind, entry in item.items()}
        for item in listing
    ]


class Firewall:
    """Puts the table in place and tells whether it still stands as it was put."""

    def __init__(self, settings: AgentSettings) -> None:
        self._rules = rules(settings)
        self._put: Listing | None = None
        self.newcomers = 0
        """As of the last listing, a count that changes when a client comes, or comes by another way."""

    async def apply(self) -> None:
        """Put the table in place. Connections that are under way go on."""
        await run("nft", "-f", "-", stdin=self._rules)
        self._put = await list_table()

    async def take_up(self, settings: AgentSettings) -> None:
        """Put the table of changed settings in place; where that fails, `keep` does it later."""
        self._rules, self._put = rules(settings), None
        try:
            await self.apply()
        except CommandError as error:
            log.warning("the firewall table of the changed settings is not in place yet: %s", error)

    async def stands(self) -> bool:
        """Whether the kernel's table is what `apply` put there, to the last rule."""
        listing = await _list(TABLE)
        self.newcomers = sum(item["counter"]["packets"] for item in listing or [] if "counter" in item)
        return listing is not None and _unvarying(listing) == self._put

    async def keep(self) -> None:
        """Put the table in place whenever it does not stand, until cancelled."""
        await repeat(self.restore, LOOK_EVERY_S, "the firewall table is not as it should be", CommandError)

    async def restore(self) -> None:
        """Put the table in place unless it stands."""
        if not await self.stands():
            await self.apply()

    async def problems(self) -> list[str]:
        """One sentence if the table does not stand."""
        return [] if await self.stands() else ["the firewall table is not as it was put in place"]
