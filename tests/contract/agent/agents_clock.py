"""The agent's wall clock, which jumps, and no other clock: libfaketime."""

from pathlib import Path

from lab.tools import debian_packages
from tests.contract.agent.world import World


class AgentsClock:
    """What the agent of a world takes for the time, once it is started."""

    def __init__(self, world: World) -> None:
        debian_packages.ensure_for_tests("faketime")
        self._file = world.directory / "clock"
        self.is_right()
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        world.agents_environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def is_off(self, by: str) -> None:
        """From now on, by so much: +2y, -2y."""
        self._file.write_text(by)

    def is_right(self) -> None:
        self.is_off("+0")
