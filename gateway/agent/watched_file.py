"""Files that may change while the agent runs: they are read every second, and what is new in them is taken up.

What counts is the content. Kubernetes swaps a symbolic link when a Secret or a ConfigMap changes; people rename files
over files. A content that cannot be used changes nothing: the log says so once, and a metric until it is set right.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.agent.settings import SettingsError, read_file

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

    @property
    def taken_up(self) -> bool:
        """Whether what the file holds is in use, as of the last look."""
        return self._trouble is None

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


class WatchedFilesCollector(Collector):
    """Tells Prometheus whether what each file holds is in use, by the name that such a metric usually has."""

    def __init__(self, files: Sequence[WatchedFile]) -> None:
        self._files = files

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge with a label per setting."""
        family = GaugeMetricFamily(
            "meshgate_config_last_reload_successful",
            "1 while what the file holds is in use, 0 while it cannot be used and the last one goes on.",
            labels=["setting"],
        )
        for file in self._files:
            family.add_metric([file.setting], float(file.taken_up))
        yield family
