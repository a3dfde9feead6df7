"""The node: one process tree under supervisord, in namespaces of its own.

Process 1 of the node is supervisord; it runs every part of the cluster and of the mesh peer. So
one kill ends all processes and mounts, and a part that dies is started again by a well-kept
supervisor. A part whose command, environment or files changed is restarted, no other is.
"""

import configparser
import hashlib
import io
import json
import resource
import shlex
import sys
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from lab import cgroups, network, paths
from lab.daemon import Daemon
from lab.errors import LabError
from lab.sandbox import Sandbox

HOSTNAME = "lab"
"""Name of the machine inside, and of the node in Kubernetes."""

DAEMON = Daemon("node")
SOCKET = paths.RUN / "supervisor.sock"
CONFIG = paths.STATE / "node" / "supervisord.conf"
VIEW = paths.STATE / "node" / "view.json"
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

MAX_FILES = 65536
"""File descriptors that containerd and the API server may need, if the machine allows as many."""


@dataclass(frozen=True)
class Part:
    """One program of the node.

    Attributes:
        name: as in `lab logs NAME`.
        command: argument list.
        files: the configuration files it reads, by path.
        environment: what is added to its environment; never a secret.
    """

    name: str
    command: Sequence[str | Path]
    files: Mapping[Path, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """What it prints."""
        return paths.LOGS / f"{self.name}.log"

    @property
    def digest(self) -> str:
        """A hash of its files: in its environment it makes a changed file a changed part."""
        content = "".join(f"{path}\0{text}\0" for path, text in sorted(self.files.items()))
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def view() -> Sandbox:
    """Return the node's view of the machine.

    What it writes to the host's directories stays inside, except for the lab's own state. Kernel
    settings that are the whole machine's are hidden behind files: the kubelet writes to those.
    """
    state = str(paths.STATE)
    peers = (f"/run/netns/{name}" for name in (network.PEER, network.INTERNET))
    return Sandbox(
        network=network.NODE,
        hostname=HOSTNAME,
        empty=("/run",),
        private=("/etc", "/tmp", "/var/lib", "/var/log"),  # noqa: S108  (hidden, not written to)
        binds=(
            (state, state),
            # Where the controller manager's host path provisioner makes volumes; it takes no other.
            (str(paths.VOLUMES), "/tmp/hostpath_pv"),  # noqa: S108
            *((peer, peer) for peer in peers),
            *((str(_kernel_file(name)), f"/proc/sys/{name}") for name in KERNEL_SETTINGS),
        ),
        shared=True,
    )


def running() -> bool:
    """Say whether the node's process tree runs, whichever clone started it."""
    return DAEMON.process() is not None


def start(parts: Sequence[Part]) -> None:
    """Start supervisord if it does not run as it should, and make it know exactly these parts; none is started."""
    _write(parts)
    wanted = json.dumps(asdict(view()))
    if running() and (not VIEW.exists() or VIEW.read_text() != wanted):
        DAEMON.stop()
    if not running():
        SOCKET.unlink(missing_ok=True)
        cgroups.create()
        for name in KERNEL_SETTINGS:
            _kernel_file(name).parent.mkdir(parents=True, exist_ok=True)
            _kernel_file(name).write_text(Path("/proc/sys", name).read_text())
        paths.VOLUMES.mkdir(parents=True, exist_ok=True)
        VIEW.write_text(wanted)
        DAEMON.start(view().command([sys.executable, "-m", "supervisor.supervisord", "--nodaemon", f"-c{CONFIG}"]))
    else:
        _reload()


def stop() -> None:
    """End every process of the node and remove its control groups."""
    DAEMON.stop()
    cgroups.remove()


def answers() -> bool:
    """Say whether supervisord takes orders already."""
    try:
        return bool(_rpc().supervisor.getState()["statename"] == "RUNNING")
    except (OSError, HTTPException):
        return False


def start_part(name: str) -> None:
    """Start one part if it does not run, without waiting for it."""
    try:
        _rpc().supervisor.startProcess(name, False)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != Faults.ALREADY_STARTED:
            raise LabError(f"supervisord does not start {name}: {fault.faultString}.") from fault


def state(name: str) -> str:
    """Return supervisord's word for a part: RUNNING, STARTING, BACKOFF, FATAL, STOPPED, …."""
    return str(_rpc().supervisor.getProcessInfo(name)["statename"])


def states() -> dict[str, str]:
    """Return the state of every part."""
    return {str(one["name"]): str(one["statename"]) for one in _rpc().supervisor.getAllProcessInfo()}


def render(parts: Sequence[Part]) -> str:
    """Return supervisord's configuration."""
    config = configparser.RawConfigParser()
    soft_limit = min(MAX_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    config["supervisord"] = {
        "user": "root",
        "logfile": str(paths.LOGS / "supervisord.log"),
        "pidfile": "/run/supervisord.pid",
        "minfds": str(soft_limit),
    }
    config["unix_http_server"] = {"file": str(SOCKET), "chmod": "0700"}
    config["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    for part in parts:
        environment = {**part.environment, "MESHGATE_LAB_FILES": part.digest}
        config[f"program:{part.name}"] = {
            "command": _escape(shlex.join(map(str, part.command))),
            "environment": _escape(",".join(f'{name}="{value}"' for name, value in environment.items())),
            "autostart": "false",
            "autorestart": "true",
            "startretries": "10",
            "stopwaitsecs": "5",
            "redirect_stderr": "true",
            "stdout_logfile": str(part.log),
            "stdout_logfile_maxbytes": "20MB",
            "stdout_logfile_backups": "1",
        }
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _kernel_file(name: str) -> Path:
    """Return the file that stands in for one of the kernel's settings."""
    return CONFIG.parent / "kernel" / name


def _write(parts: Sequence[Part]) -> None:
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    for part in parts:
        for path, content in part.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(content)
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(render(parts))


def _reload() -> None:
    """Let supervisord read its configuration again: changed and removed parts end."""
    supervisor = _rpc().supervisor
    added, changed, removed = supervisor.reloadConfig()[0]
    for name in [*changed, *removed]:
        supervisor.stopProcessGroup(name)
        supervisor.removeProcessGroup(name)
    for name in [*added, *changed]:
        supervisor.addProcessGroup(name)


def _rpc() -> Any:  # noqa: ANN401  (XML-RPC has no types)
    # The address is not used: the transport speaks to the socket.
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=SupervisorTransport(serverurl=f"unix://{SOCKET}"))


def _escape(text: str) -> str:
    """Escape what supervisord would expand."""
    return text.replace("%", "%%")
