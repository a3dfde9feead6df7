"""The node's supervisord: the parts that it runs, its configuration, and what it is told to do.

It starts a part that died again. When it reads its configuration anew, it restarts the parts whose
command, environment or files changed, and no others.
"""

import configparser
import hashlib
import io
import resource
import shlex
import sys
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import Faults, SupervisorTransport

from console.errors import StepError
from lab import paths

SOCKET = paths.RUN / "supervisor.sock"
FILE = paths.CONFIG / "supervisord.conf"
COMMAND = (sys.executable, "-m", "supervisor.supervisord", "--nodaemon", f"-c{FILE}")

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


def write(parts: Sequence[Part]) -> None:
    """Write the configuration: exactly these parts, and the files that they read."""
    paths.LOGS.mkdir(parents=True, exist_ok=True)
    for part in parts:
        for path, content in part.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(content)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(render(parts))


def reload() -> None:
    """Let supervisord read its configuration again: changed and removed parts end."""
    supervisor = _rpc().supervisor
    added, changed, removed = supervisor.reloadConfig()[0]
    for name in [*changed, *removed]:
        supervisor.stopProcessGroup(name)
        supervisor.removeProcessGroup(name)
    for name in [*added, *changed]:
        supervisor.addProcessGroup(name)


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
            raise StepError(f"supervisord does not start {name}: {fault.faultString}.") from fault


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


def _rpc() -> Any:  # noqa: ANN401  (XML-RPC has no types)
    # The address is not used: the transport speaks to the socket.
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=SupervisorTransport(serverurl=f"unix://{SOCKET}"))


def _escape(text: str) -> str:
    """Escape what supervisord would expand."""
    return text.replace("%", "%%")
