"""Processes that outlive the command that started them, known again by pid file and start time.

A process id alone can have gone to somebody else's process; with its start time it cannot.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from console.environment import SYSTEM_PATH
from console.errors import StepError
from console.waiting import until
from lab import paths

ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
"""The states of a process that has ended, but was not collected yet."""

STOP_DEADLINE = 10.0
"""Seconds that a killed process tree may take to be gone."""


@dataclass(frozen=True)
class Process:
    """One process of this boot: its id, and the seconds from the boot to its start."""

    pid: int
    started: float

    @classmethod
    def of(cls, process: psutil.Process) -> Self:
        """Return how a process is written down; setting the clock later does not change it."""
        return cls(process.pid, round(process.create_time() - psutil.boot_time(), 2))

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return running(self.pid) == self

    def kill(self) -> None:
        """End it at once, with its children, and wait until they are gone.

        A child that is process 1 of a namespace is gone only after every process in there.
        """
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            if not self.alive:
                return
            for one in (*process.children(), process):
                until(
                    partial(_struck, one),
                    deadline=STOP_DEADLINE,
                    otherwise=lambda: StepError(
                        f"Process {self.pid} does not end although it was killed; see /proc/{self.pid}/stack."
                    ),
                    poll=0.02,
                )
            # Collected, if it is this process' own child.
            with suppress(psutil.TimeoutExpired):
                process.wait(0)


@dataclass(frozen=True)
class Daemon:
    """A background process with a name: `run/<name>.pid` and `logs/<name>.log`."""

    name: str

    @property
    def pid_file(self) -> Path:
        """Where the process is written down."""
        return paths.RUN / f"{self.name}.pid"

    @property
    def log(self) -> Path:
        """What it prints."""
        return paths.LOGS / f"{self.name}.log"

    def process(self) -> Process | None:
        """Return the running process, or None."""
        if not self.pid_file.exists():
            return None
        process = Process(**json.loads(self.pid_file.read_text()))
        return process if process.alive else None

    def start(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Process:
        """Start it with a clean environment, out of reach of a terminal's Ctrl-C."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.pid_file.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # Not subprocess: nobody waits for this child, it stays when this process ends.
            pid = os.posix_spawnp(
                argv[0],
                list(argv),
                {"PATH": SYSTEM_PATH, **(environment or {})},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
                ],
                setsid=True,
            )
        process = running(pid)
        if process is None:
            raise StepError(f"The lab's process {self.name} ended at once.", self.log)
        draft = self.pid_file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(process)))
        draft.replace(self.pid_file)
        return process

    def stop(self) -> None:
        """End it and forget it; nothing happens when it does not run."""
        if process := self.process():
            process.kill()
        self.pid_file.unlink(missing_ok=True)


def daemons() -> Iterator[Daemon]:
    """Return every daemon that was written down and not yet stopped."""
    return (Daemon(file.stem) for file in sorted(paths.RUN.glob("*.pid")))


def running(pid: int) -> Process | None:
    """Return the process that has this id now, or None; a zombie does not run."""
    try:
        process = psutil.Process(pid)
        return None if process.status() in ENDED else Process.of(process)
    except psutil.NoSuchProcess:
        return None


def _struck(process: psutil.Process) -> bool:
    """Send a process SIGKILL unless it has ended; say whether it had."""
    with suppress(psutil.NoSuchProcess):
        if process.status() not in ENDED:
            process.kill()
            return False
    return True
