"""A stock OpenVPN client on the lab's lan, made from its profile alone: a user's laptop, as a network namespace."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.errors import StepError
from console.waiting import until
from lab.network import joining
from lab.network.sandbox import Sandbox
from lab.network.tunnel_client import DIRECTORY, TunnelClient, take_away, write_config
from lab.processes.daemon import Daemon
from lab.tools import debian_packages

UP = "Initialization Sequence Completed"
START_SECONDS = 20.0


class OpenVpnClient(TunnelClient):
    """A client that was connected."""

    @property
    def log(self) -> Path:
        """What it says."""
        return _daemon(self.name).log


def connect(name: str, profile: str) -> OpenVpnClient:
    """Bring a client up (one of that name is replaced) and wait until its tunnel stands."""
    debian_packages.ensure_for_tests("openvpn")
    disconnect(name)
    host = joining.attach(name)
    settings = write_config(f"{name}.ovpn", profile)
    daemon = _daemon(name)
    daemon.log.unlink(missing_ok=True)
    sandbox = Sandbox(network=host.namespace, hostname=f"client-{name}", empty=("/run",))
    process = daemon.start(sandbox.command(["openvpn", "--config", str(settings)]))
    until(
        lambda: UP in daemon.log.read_text(),
        deadline=START_SECONDS,
        otherwise=lambda: StepError(f"The OpenVPN client {name} does not come up.", daemon.log),
    )
    return OpenVpnClient(name, host, process.pid)


def disconnect(name: str) -> None:
    """End a client and take it off the lan; nothing happens when there is none."""
    take_away(name, _daemon(name), DIRECTORY / f"{name}.ovpn")


@contextmanager
def connected(name: str, profile: str) -> Iterator[OpenVpnClient]:
    """Give a client for the time of the block."""
    try:
        yield connect(name, profile)
    finally:
        disconnect(name)


def _daemon(name: str) -> Daemon:
    return Daemon(f"openvpn-client-{name}")
