"""Files that may change while the agent runs: they are read every second, and what is new in them is taken up.

What counts is the content. Kubernetes swaps a symbolic link when a Secret or a ConfigMap changes; people rename files
over files. A content that cannot be used changes nothing: the log says so once, and a metric until it is set right.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gateway.agent import measures
from gateway.agent.settings_loading import SettingsError, read_file

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class WatchedFile:
    """A file whose content `taken` is in use. `take_up` gets the next one; `read` and it may raise SettingsError."""

    def __init__(
        self,
        setting: str,
        path: Path,
        taken: str,
        take_up: Callable[[str], Awaitable[None]],
        read: Callable[[str, Path], str] = read_file,
    ) -> None:
        self.setting = setting
        self._path = path
        self._taken = taken
        self._take_up = take_up
        self._read = read
        self._trouble: str | None = None
        self._refused: str | None = None
        measures.RELOADED.labels(setting).set(1)

    async def look(self) -> None:
        """Take up what the file holds, if that is new."""
        try:
            text = self._read(self.setting, self._path)
            if text == self._taken:
                self._trouble = self._refused = None
            elif text != self._refused:
                await self._take_new(text)
        except SettingsError as error:
            self._say(str(error))
        measures.RELOADED.labels(self.setting).set(self._trouble is None)

    async def _take_new(self, text: str) -> None:
        self._refused = text
        await self._take_up(text)
        self._taken, self._refused, self._trouble = text, None, None
        log.info("%s: %s has changed and is taken up", self.setting, self._path)

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("%s; what was read before stays in use", trouble.replace("\n", "; "))
        self._trouble = trouble


async def watch(files: Sequence[WatchedFile]) -> None:
    """Look at all of them every second, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        for file in files:
            await file.look()
