"""Network namespaces of a test's own, and the processes in them. The next run removes what a killed one left."""

import ctypes
import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PREFIX = "mgtest-"
_counter = itertools.count()


def command(*arguments: str, stdin: str = "") -> str:
    """Run a tool that must succeed; its output."""
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stderr}{done.stdout}"
    return done.stdout


class Namespace:
    """A network namespace and the processes in it."""

    def __init__(self, what: str) -> None:
        """`what` is the end of its name, for people."""
        self.name = f"{PREFIX}{os.getpid()}-{next(_counter)}-{what}"
        self.inside = ("ip", "netns", "exec", self.name)
        self._processes: list[subprocess.Popen[bytes]] = []
        command("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def run(self, *arguments: str, stdin: str = "") -> str:
        return command(*self.inside, *arguments, stdin=stdin)

    def tried(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        words = [*self.inside, *arguments]
        return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)

    def start(
        self, *arguments: str, env: dict[str, str] | None = None, stderr: BinaryIO | None = None
    ) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*self.inside, *arguments], env=env, stderr=stderr)
        self._processes.append(process)
        return process

    def delete(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        command("ip", "netns", "delete", self.name)


def sweep() -> None:
    """Remove the namespaces of runs that are gone, and end what still runs in them; another worker may do the same."""
    for namespace in Path("/run/netns").glob(f"{PREFIX}*"):
        run = namespace.name.removeprefix(PREFIX).split("-")[0]
        if Path("/proc", run).exists():
            continue
        listed = subprocess.run(["ip", "netns", "pids", namespace.name], capture_output=True, text=True, check=False)
        for process in listed.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", namespace.name], capture_output=True, check=False)


@contextmanager
def in_namespace(name: str) -> Iterator[None]:
    """Sockets that this thread opens inside the block are the namespace's (they stay so afterwards)."""
    clone_newnet = 0x40000000
    with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{name}").open() as there:
        _setns(there.fileno(), clone_newnet)
        try:
            yield
        finally:
            _setns(home.fileno(), clone_newnet)


def _setns(descriptor: int, kind: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, kind) != 0:
        raise OSError(ctypes.get_errno(), "setns")
