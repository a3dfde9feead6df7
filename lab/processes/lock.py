"""One run at a time works on the machine's lab, and some steps are one's alone also within a run.

The lock of a run is a name in the kernel (an abstract unix socket): it is gone with its holder, however that
ends, and it leaves no file behind.
"""

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

from console.errors import StepError

NAME = "meshgate-lab"


@contextmanager
def hold(name: str = NAME) -> Iterator[None]:
    """Hold the lock during the block; raise StepError, which says who has it, when it is taken."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0{name}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise StepError(
                f"Another run is at work on this machine's lab: {_holder(name)}. Wait until it ends, or end it."
            ) from error
        lock.listen()
        yield


@contextmanager
def one_at_a_time(file: Path) -> Iterator[None]:
    """Wait until nobody else is in such a block, of whatever process; `file` is made, and stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _holder(name: str) -> str:
    """Return the holder's process id and command line."""
    try:
        with socket.socket(socket.AF_UNIX) as question:
            question.connect(f"\0{name}")
            credentials = question.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid = struct.unpack("3i", credentials)[0]
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").replace("\0", " ").split()
    except OSError:
        return "it is just ending"
    return f"process {pid} of {_clone(pid)} ({shorten(' '.join(words), 80)})"


def _clone(pid: int) -> str:
    """Return the directory in which a process works."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return "another user" if pid != os.getpid() else "this run"
