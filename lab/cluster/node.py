"""The node: one process tree under supervisord, in namespaces of its own.

Process 1 of the node is supervisord; it runs every part of the cluster and of the mesh peer. So
one kill ends all processes and mounts.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lab import paths
from lab.network import topology
from lab.network.sandbox import Sandbox
from lab.processes import cgroups, supervision
from lab.processes.daemon import Daemon
from lab.processes.supervision import Part

HOSTNAME = "lab"
"""Name of the machine inside, and of the node in Kubernetes."""

DAEMON = Daemon("node")
VIEW = paths.CONFIG / "view.json"
"""The view that the running node was started with; another one needs another start."""

KERNEL_SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""Settings below /proc/sys that are the whole machine's and that the kubelet insists on writing."""


def view() -> Sandbox:
    """Return the node's view of the machine.

    Its writes to the host's directories stay inside, except to the lab's own. Files stand in for
    kernel settings of the whole machine: the kubelet writes to those.
    """
    own = map(str, (paths.STATE, paths.containerd()))
    networks = (f"/run/netns/{name}" for name in (topology.MESH_PEER, topology.INTERNET))
    return Sandbox(
        network=topology.NODE,
        hostname=HOSTNAME,
        empty=("/run",),
        private=("/etc", "/tmp", "/var/lib", "/var/log"),  # noqa: S108  (hidden, not written to)
        binds=(
            *((directory, directory) for directory in own),
            # Where the controller manager's host path provisioner makes volumes; it takes no other.
            (str(paths.VOLUMES), "/tmp/hostpath_pv"),  # noqa: S108
            *((network, network) for network in networks),
            *((str(_kernel_file(name)), f"/proc/sys/{name}") for name in KERNEL_SETTINGS),
        ),
        shared=True,
    )


def running() -> bool:
    """Say whether the node's process tree runs, whichever clone started it."""
    return DAEMON.process() is not None


def start(parts: Sequence[Part]) -> None:
    """Start supervisord if it does not run as it should, and make it know exactly these parts; none is started."""
    supervision.write(parts)
    wanted = json.dumps(asdict(view()))
    if running() and (not VIEW.exists() or VIEW.read_text() != wanted):
        DAEMON.stop()
    if not running():
        supervision.SOCKET.unlink(missing_ok=True)
        cgroups.create()
        for name in KERNEL_SETTINGS:
            _kernel_file(name).parent.mkdir(parents=True, exist_ok=True)
            _kernel_file(name).write_text(Path("/proc/sys", name).read_text())
        for directory in (paths.VOLUMES, paths.containerd()):
            directory.mkdir(parents=True, exist_ok=True)
        VIEW.write_text(wanted)
        DAEMON.start(view().command(supervision.COMMAND))
    else:
        supervision.reload()


def stop() -> None:
    """End every process of the node and remove its control groups."""
    DAEMON.stop()
    cgroups.remove()


def _kernel_file(name: str) -> Path:
    """Return the file that stands in for one of the kernel's settings."""
    return paths.CONFIG / "kernel" / name
