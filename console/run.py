"""Run other programs: argument lists only, output kept in a log, nothing left running behind us."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from console import environment
from console.errors import DeadlineError, StepError
from console.progress import console

Command = Sequence[str | Path]

_CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Prefix that gives a command mounts and process numbers of its own."""

_GRACE_SECONDS = 5.0
_LOOK_SECONDS = 0.25


def run(
    command: Command,
    *,
    doing: str,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    base: Mapping[str, str] | None = None,
    contained: bool = False,
    finish_seconds: float = 0,
    follow: Callable[[str], object] | None = None,
    deadline_seconds: float | None = None,
    moving: Callable[[], object] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run a command to its end, its output into `log` (written anew).

    `doing` names the work in the error's sentence ("build headscale"); `env` is added to its environment,
    which is `base`, or else the clean one of `console.environment`. Whatever a `contained` command starts
    or mounts ends with it (needs root).
    A command that is interrupted ends with all that it started; with `finish_seconds` it is told
    alone, as by Ctrl-C, and may take so long to finish what it is at. `follow` is given each line
    of the output soon after it was written. `deadline_seconds` is how long the command may take; then
    it is ended like one that is interrupted. The deadline starts anew whenever `moving` answers something new.
    Another thread may set `stop` to end the command.
    Raises StepError with the log's tail when the command is missing, fails or is stopped, and
    DeadlineError when it is late.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    whole = _environment(env, base)
    with (
        log.open("wb") as output,
        _in_time(command, doing, log),
        _started(command, doing, cwd, whole, contained, output, subprocess.STDOUT, finish_seconds) as process,
    ):
        status = _wait(process, log, follow, deadline_seconds, moving, stop)
    if status != 0:
        raise StepError(f"Could not {doing}: {Path(command[0]).name} ended with status {status}.", log)


def capture(
    command: Command,
    *,
    doing: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    base: Mapping[str, str] | None = None,
    contained: bool = False,
    stdin: str | None = None,
    deadline_seconds: float | None = None,
) -> str:
    """Run a short command and return what it wrote to stdout; `stdin` is what it reads, else as for `run`.

    Raises StepError, with the last line of its stderr, when the command is missing or fails, DeadlineError when it
    takes longer than `deadline_seconds`.
    """
    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    whole = _environment(env, base)
    with (
        _in_time(command, doing),
        _started(command, doing, cwd, whole, contained, subprocess.PIPE, subprocess.PIPE, stdin=source) as process,
    ):
        stdout, stderr = process.communicate(None if stdin is None else stdin.encode(), deadline_seconds)
    if process.returncode != 0:
        last = (stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise StepError(f"Could not {doing}: {Path(command[0]).name} ended with status {process.returncode}: {last}")
    return stdout.decode(errors="replace")


def _environment(env: Mapping[str, str] | None, base: Mapping[str, str] | None) -> dict[str, str]:
    return {**(environment.clean() if base is None else base), **(env or {})}


@contextmanager
def _started(
    command: Command,
    doing: str,
    cwd: Path | None,
    env: Mapping[str, str],
    contained: bool,
    stdout: IO[bytes] | int,
    stderr: int,
    finish_seconds: float = 0,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own, which ends when the block is interrupted."""
    try:
        process = subprocess.Popen(
            (*_CONTAINED, *command) if contained else command,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise StepError(f"Could not {doing}: there is no {error.filename}.") from error
    with process:
        try:
            yield process
        except BaseException:
            _end(process, finish_seconds)
            raise


@contextmanager
def _in_time(command: Command, doing: str, log: Path | None = None) -> Iterator[None]:
    """Say in a sentence that a command was late."""
    try:
        yield
    except subprocess.TimeoutExpired as error:
        late = f"{Path(command[0]).name} was not done within {error.timeout:g} s"
        raise DeadlineError(f"Could not {doing}: {late}.", log) from error


def _wait(
    process: subprocess.Popen[bytes],
    log: Path,
    follow: Callable[[str], object] | None,
    deadline_seconds: float | None,
    moving: Callable[[], object] | None,
    stop: threading.Event | None,
) -> int:
    """Wait for a process, telling the lines of its log; return its status, or raise TimeoutExpired when it is late."""
    if follow is None and moving is None and stop is None:
        return process.wait(deadline_seconds)
    tell = follow or (lambda _: None)
    started, seen = time.monotonic(), moving() if moving else None
    with log.open(errors="replace") as lines:
        while True:
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired as error:
                for line in lines:
                    tell(line.rstrip())
                if stop and stop.is_set():
                    raise StepError("It was told to stop.", log) from error
                if moving and seen != (seen := moving()):
                    started = time.monotonic()
                if deadline_seconds is not None and time.monotonic() - started > deadline_seconds:
                    raise subprocess.TimeoutExpired(process.args, deadline_seconds) from error


def _end(process: subprocess.Popen[bytes], finish_seconds: float) -> None:
    """End a process and its session: politely, then (or at the next Ctrl-C) for good."""
    try:
        if finish_seconds:
            console.print(f"It may take up to {finish_seconds:.0f} s to finish what it is at; Ctrl-C again ends it.")
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(finish_seconds or _GRACE_SECONDS)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
