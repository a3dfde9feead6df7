"""The agent's settings as they are now: its environment, and a directory (MESHGATE_SETTINGS_DIR) that may change.

A file of the directory is named after a variable and holds its value, as Kubernetes mounts a ConfigMap. It is one of
the settings in `LIVE`: what it says is taken up while everything goes on. A setting that has no file there is the
environment's, or has its default.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import PREFIX, SettingsError, environment_lines, load

DIRECTORY = "MESHGATE_SETTINGS_DIR"
LIVE = frozenset(
    {
        *("endpoint", "openvpn_endpoints", "allowed_ips", "dns", "mtu", "persistent_keepalive", "previous_until"),
        *("closed_networks", "node_networks", "node_ports", "allow_networks", "block_networks"),
    }
)
"""Settings that only the API's answers, the firewall, the interface's MTU and the previous key's end depend on."""

Follower = Callable[[AgentSettings], Awaitable[None]]


class LiveSettings:
    """Settings out of environment and directory; SettingsError with one sentence per setting that cannot be used."""

    def __init__(self) -> None:
        path = os.environ.get(DIRECTORY)
        self.path = Path(path) if path else None
        self.lines = read_directory(DIRECTORY, self.path) if self.path else ""
        self._now = _parse(self.lines)
        self._followers: list[Follower] = []

    def __call__(self) -> AgentSettings:
        """The settings as they are now."""
        return self._now

    def follow(self, *followers: Follower) -> None:
        """Let these know of every change, in this order."""
        self._followers += followers

    async def take_up(self, lines: str) -> None:
        """Take up what the directory says now; SettingsError, and nothing changes, if that cannot be used."""
        self._now, self.lines = _parse(lines), lines
        for follower in self._followers:
            await follower(self._now)


def read_directory(name: str, path: Path) -> str:
    """The files of a directory as lines NAME=VALUE; SettingsError if they cannot be read.

    `name` is the setting that names the directory. Kubernetes' own files in it begin with a dot.
    """
    try:
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        return "".join(f"{file.name}={file.read_text().strip()}\n" for file in files)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: {path} cannot be read: {getattr(error, 'strerror', 'not text')}") from error


def _parse(lines: str) -> AgentSettings:
    given = environment_lines(DIRECTORY, lines)
    known = {f"{PREFIX}{name}".upper() for name in LIVE}
    if others := sorted(given.keys() - known):
        raise SettingsError(
            "\n".join(
                f"{DIRECTORY}: {name} cannot change while the agent runs; set it in its environment" for name in others
            )
        )
    return load(AgentSettings, given)
