"""What clients of every protocol do once they are connected: fetch pages, ping, run a command where they are."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.errors import StepError
from console.run import capture
from lab import paths
from lab.network import joining
from lab.processes.daemon import Daemon

DIRECTORY = paths.STATE / "clients"
"""Their configs."""


def write_config(name: str, text: str) -> Path:
    """Write a client's config, which has its keys, for root alone; return where it is."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    file = DIRECTORY / name
    file.touch(mode=0o600)
    file.write_text(text)
    return file


def take_away(name: str, daemon: Daemon, *left: Path) -> None:
    """End a client, take it off the lan and remove what it left; nothing happens when there is none."""
    daemon.stop()
    joining.detach(name)
    for path in left:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class TunnelClient:
    """A connected client, and what it sees of the world."""

    name: str
    host: joining.Host
    pid: int

    @property
    def inside(self) -> list[str]:
        """What to put before an argument list to run it where the client is."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", "--"]

    def run(self, command: Sequence[str | Path], doing: str = "run a command in the client") -> str:
        """Run a command where the client is and return its stdout; raise StepError if it fails."""
        return capture([*self.inside, *command], doing=f"{doing} {self.name}")

    def fetch(self, url: str, seconds: float = 5) -> str:
        """Return a web page as the client sees it; raise StepError when it does not come in time."""
        # curl's own proxy settings must not lead around the tunnel.
        curl = ("curl", "--silent", "--show-error", "--fail", "--globoff", "--noproxy", "*")
        return self.run([*curl, "--max-time", str(seconds), url], doing=f"fetch {url} from the client")

    def identify(self, url: str, seconds: float = 5) -> dict[str, str]:
        """Return what the lab's web server at `url` says: {host, caller}."""
        answer: dict[str, str] = json.loads(self.fetch(url, seconds))
        return answer

    def download(self, url: str, seconds: float = 30) -> int:
        """Fetch `url` and return how many bytes came."""
        curl = ("curl", "--silent", "--show-error", "--fail", "--globoff", "--noproxy", "*", "--output", os.devnull)
        counted = self.run(
            [*curl, "--write-out", "%{size_download}", "--max-time", str(seconds), url],
            doing=f"download {url} in the client",
        )
        return int(counted)

    def reaches(self, address: str, seconds: float = 1) -> bool:
        """Say whether one ping to an address is answered."""
        try:
            self.run(["ping", "-n", "-c", "1", "-W", str(seconds), address], doing=f"ping {address} from the client")
        except StepError:
            return False
        return True
