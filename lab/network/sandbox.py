"""Run a program in namespaces of its own: its processes and mounts end with it, in one kill.

`command` makes the argument list: nsenter (network) → unshare (mounts, processes, host name) → this
file. It arranges the mounts as told and becomes the program: process 1 of its namespace. The host sees
`unshare` as the first process: killing that one kills all.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sandbox:
    """A program's own view of the machine; nothing of it is seen outside.

    Attributes:
        network: name of the network namespace (as of `ip netns`).
        hostname: the host name inside.
        empty: directories that begin empty, in memory.
        private: directories that look as outside, but what is written stays inside, in memory.
        binds: (source, target): the file or directory `source` of the outside shows at `target`.
        shared: mounts made by one process inside are seen by all others (kubelet, containerd).
    """

    network: str
    hostname: str
    empty: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    binds: tuple[tuple[str, str], ...] = ()
    shared: bool = False

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the argument list that runs `argv` in here."""
        return [
            *in_network(self.network),
            *("unshare", "--mount", "--propagation", "private", "--uts", "--pid", "--fork"),
            *("--kill-child=SIGKILL", "--mount-proc"),
            *(sys.executable, __file__, json.dumps(asdict(self)), *argv),
        ]


def in_network(name: str) -> list[str]:
    """Return what to put before an argument list to run it in a network namespace."""
    return ["nsenter", f"--net=/run/netns/{name}", "--"]


def _mount(*arguments: str, fds: Sequence[int] = ()) -> None:
    subprocess.run(["mount", *arguments], check=True, pass_fds=fds)


def _arrange(view: Sandbox) -> None:
    """Make the mounts; sources are opened before anything hides them."""
    sources = [os.open(source, os.O_PATH) for source, _ in view.binds]
    for directory in view.empty:
        _mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", directory)
    for directory in view.private:
        scratch = Path("/run/private", directory.strip("/").replace("/", "-"))
        upper, work = scratch / "upper", scratch / "work"
        upper.mkdir(parents=True)
        work.mkdir()
        options = f"lowerdir={directory},upperdir={upper},workdir={work}"
        _mount("-t", "overlay", "-o", options, "overlay", directory)
    for fd, (_, target) in zip(sources, view.binds, strict=True):
        if Path(f"/proc/self/fd/{fd}").is_dir():
            Path(target).mkdir(parents=True, exist_ok=True)
        else:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
            Path(target).touch()
        # The path may be hidden by now, the open file is not; -c: mount must not resolve the link.
        _mount("-c", "--rbind", f"/proc/{os.getpid()}/fd/{fd}", target, fds=[fd])
        os.close(fd)
    if view.shared:
        _mount("--make-rshared", "/")


def main(view: str, *argv: str) -> None:
    """Arrange the mounts as `view` (a Sandbox as JSON) says, and become `argv`."""
    sandbox = Sandbox(**json.loads(view))
    socket.sethostname(sandbox.hostname)
    _arrange(sandbox)
    os.execvp(argv[0], argv)  # noqa: S606  (to become it is the point)


if __name__ == "__main__":
    main(*sys.argv[1:])
