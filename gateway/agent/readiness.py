"""Ready or not: told to whoever asks /readyz, to Prometheus, and to the log when it changes.

Nobody may ask for a long time, as on a machine without a kubelet. So the agent itself looks every few seconds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.agent import measures
from gateway.agent.logs import fields

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0


class Readiness:
    """What keeps the gateway from carrying traffic or from keeping devices, by part (measures.PARTS)."""

    def __init__(
        self,
        parts: Callable[[], Awaitable[dict[str, list[str]]]],
        store: Callable[[], Awaitable[list[str]]],
        *,
        is_shared: bool = False,
    ) -> None:
        """A shared store that is away holds up no traffic, and is missed by all members: they stay ready without it."""
        self._parts = parts
        self._store = store
        self._is_shared = is_shared
        self.warnings: list[str] = []
        """What is missing although the gateway is ready, as of the last look."""
        self._told: frozenset[str] | None = None
        """The parts that the log named last; None before the first look."""

    async def problems(self) -> list[str]:
        """Everything that is missing now, one sentence each; empty means ready."""
        missing = {**await self._parts(), "store": await self._store()}
        for part in measures.PARTS:
            measures.PROBLEM.labels(part).set(bool(missing.get(part)))
        self.warnings = missing["store"] if self._is_shared else []
        found = [sentence for sentences in missing.values() for sentence in sentences if sentence not in self.warnings]
        measures.READY.set(not found)
        self._tell(frozenset(part for part, sentences in missing.items() if sentences), found)
        return found

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.problems()
            except OSError as error:  # such as that no file can be opened: no reason to end with what works
                measures.READY.set(0)
                log.warning("readiness cannot be told: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    def _tell(self, parts: frozenset[str], found: list[str]) -> None:
        if parts == self._told:
            return
        self._told = parts
        if found:
            log.warning("not ready", extra=fields(missing=[*found, *self.warnings]))
        elif self.warnings:
            log.warning("ready, but nobody can be registered", extra=fields(missing=self.warnings))
        else:
            log.info("ready", extra=fields())
