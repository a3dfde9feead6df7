"""Processes that outlive the command that started them, known again by pid file and start time.

A process id alone can have gone to somebody else's process; with its start time it cannot.
"""

import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from console.environment import SYSTEM_PATH
from console.errors import StepError
from console.waiting import until
from lab import paths

STOP_DEADLINE = 10.0
"""Seconds that a killed process tree may take to be gone."""


@dataclass(frozen=True)
class Process:
    """One process of this boot: its id and when it started (clock ticks since boot)."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        return _state(self.pid) == (self.started, True)

    def kill(self) -> None:
        """End it at once, with its children, and wait until they are gone.

        A child that is process 1 of a namespace is gone only after every process in there.
        """
        if not self.alive:
            return
        for one in (*_children(self.pid), self):
            until(
                one.struck,
                deadline=STOP_DEADLINE,
                otherwise=lambda: StepError(
                    f"Process {self.pid} does not end although it was killed; see /proc/{self.pid}/stack."
                ),
                poll=0.02,
            )
        _reap(self.pid)

    def struck(self) -> bool:
        """Send it SIGKILL unless it is gone; say whether it was."""
        if not self.alive:
            return True
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return False


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
    """Return the process that has this id now, or None."""
    state = _state(pid)
    return Process(pid, state[0]) if state and state[1] else None


def _children(pid: int) -> list[Process]:
    """Return the running children of a process that has one thread."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in map(running, map(int, listed)) if child]


def _state(pid: int) -> tuple[int, bool] | None:
    """Return (start time, whether it runs) from /proc/<pid>/stat; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in brackets and may hold anything; proc(5) counts from 1.
    fields = text.rpartition(")")[2].split()
    state, started = fields[0], int(fields[19])
    return started, state not in "ZX"


def _reap(pid: int) -> None:
    """Collect the process if it is this process' own child."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
