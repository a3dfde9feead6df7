"""Know the processes of a run again, by a mark in their environment.

`pulumi` killed by SIGKILL leaves its language host and plugins behind, which nobody ends. All of
them carry the mark of the run that started them: that run's process id and start time.
"""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from lab.processes.daemon import Process, running

VARIABLE = "MESHGATE_LAB_RUN"


def own() -> dict[str, str]:
    """Return the environment that marks the processes of this run."""
    process = running(os.getpid())
    assert process is not None, "a process that asks for itself runs"  # noqa: S101
    return {VARIABLE: f"{process.pid}:{process.started}"}


def end_orphans() -> int:
    """End every marked process whose run is over; those of this very run too. Return how many.

    Called when nothing that this run started may be at work, so what is left of it is orphaned.
    """
    ended = 0
    for pid, owner in _marked():
        if pid != os.getpid() and (owner.pid == os.getpid() or not owner.alive):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            ended += 1
    return ended


def _marked() -> Iterator[tuple[int, Process]]:
    """Yield each marked process' id with the run that started it."""
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = entry.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        for variable in variables:
            name, _, value = variable.decode(errors="replace").partition("=")
            pid, _, started = value.partition(":")
            if name == VARIABLE and pid.isdecimal() and started.isdecimal():
                yield int(entry.parent.name), Process(int(pid), int(started))
