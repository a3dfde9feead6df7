"""Know the processes of a run again, by a mark in their environment.

`pulumi` killed by SIGKILL leaves its language host and plugins behind, which nobody ends. All of
them carry the mark of the run that started them: that run's process id and start time.
"""

import os
from collections.abc import Mapping
from contextlib import suppress

import psutil

from lab.processes.daemon import Process

VARIABLE = "MESHGATE_LAB_RUN"


def own() -> dict[str, str]:
    """Return the environment that marks the processes of this run."""
    process = Process.of(psutil.Process())
    return {VARIABLE: f"{process.pid}:{process.started}"}


def end_orphans() -> int:
    """End every marked process whose run is over; those of this very run too. Return how many.

    Call it when nothing that this run started may be at work: what is left of it is orphaned.
    """
    ended = 0
    for process in psutil.process_iter(["environ"]):
        owner = _owner(process.info["environ"] or {})
        if owner and process.pid != os.getpid() and (owner.pid == os.getpid() or not owner.alive):
            with suppress(psutil.NoSuchProcess):
                process.kill()
                ended += 1
    return ended


def _owner(environment: Mapping[str, str]) -> Process | None:
    """Return the run whose mark an environment holds."""
    pid, _, started = environment.get(VARIABLE, "").partition(":")
    try:
        return Process(int(pid), float(started))
    except ValueError:
        return None
