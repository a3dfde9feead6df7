"""Run other programs: argument lists only, output kept in a log, nothing left running behind us."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lab.errors import LabError

Command = Sequence[str | Path]

_CONTAINED = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Prefix that gives a command mounts and process numbers of its own."""

_GRACE_SECONDS = 5.0


def run(
    command: Command,
    *,
    doing: str,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    contained: bool = False,
) -> None:
    """Run a command to its end, its output into `log` (written anew).

    `doing` names the work in the error's sentence ("build headscale"); `env` is added to the
    environment. Whatever a `contained` command starts or mounts ends with it (needs root).
    Raises LabError with the log's tail when the command is missing or fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, _started(command, doing, cwd, env, contained, output, subprocess.STDOUT) as process:
        status = process.wait()
    if status != 0:
        raise LabError(f"Could not {doing}: {Path(command[0]).name} ended with status {status}.", log)


def capture(
    command: Command,
    *,
    doing: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    contained: bool = False,
) -> str:
    """Run a short command and return what it wrote to stdout; options as for `run`.

    Raises LabError, with the last line of its stderr, when the command is missing or fails.
    """
    with _started(command, doing, cwd, env, contained, subprocess.PIPE, subprocess.PIPE) as process:
        stdout, stderr = process.communicate()
    if process.returncode != 0:
        last = (stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise LabError(f"Could not {doing}: {Path(command[0]).name} ended with status {process.returncode}: {last}")
    return stdout.decode(errors="replace")


@contextmanager
def _started(
    command: Command,
    doing: str,
    cwd: Path | None,
    env: Mapping[str, str] | None,
    contained: bool,
    stdout: IO[bytes] | int,
    stderr: int,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own, which ends when the block is interrupted."""
    try:
        process = subprocess.Popen(
            (*_CONTAINED, *command) if contained else command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise LabError(f"Could not {doing}: there is no {error.filename}.") from error
    with process:
        try:
            yield process
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its session: politely, then for good."""
    for signal_number, patience in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, signal_number)
            process.wait(timeout=patience)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
