"""A stock IPsec client on the lab's lan, made from its profile alone: a user's laptop, as a network namespace."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from console.errors import StepError
from console.waiting import until
from lab.network import joining, strongswan
from lab.network.sandbox import Sandbox
from lab.network.tunnel_client import DIRECTORY, TunnelClient, take_away, write_config
from lab.processes.daemon import Daemon

START_SECONDS = 20.0


class IpSecClient(TunnelClient):
    """A client that was connected."""

    @property
    def log(self) -> Path:
        """What it says."""
        return _daemon(self.name).log


def connect(name: str, profile: str) -> IpSecClient:
    """Bring a client up (one of that name is replaced) and wait until its tunnel stands."""
    disconnect(name)
    host = joining.attach(name)
    script = write_config(f"{name}.sh", profile)
    own = _directory(name)
    environment = [f"{key}={value}" for key, value in strongswan.prepare(own).items()]
    daemon = _daemon(name)
    daemon.log.unlink(missing_ok=True)
    sandbox = Sandbox(network=host.namespace, hostname=f"client-{name}")
    process = daemon.start(sandbox.command(["env", *environment, "charon-systemd"]))
    client = IpSecClient(name, host, process.pid)
    _until(lambda: strongswan.listens(own), client)
    client.run(["env", *environment, "sh", script], doing="run the profile of the client")
    _until(lambda: strongswan.UP in client.log.read_text(), client)
    return client


def disconnect(name: str) -> None:
    """End a client and take it off the lan; nothing happens when there is none."""
    take_away(name, _daemon(name), _directory(name), DIRECTORY / f"{name}.sh")


@contextmanager
def connected(name: str, profile: str) -> Iterator[IpSecClient]:
    """Give a client for the time of the block."""
    try:
        yield connect(name, profile)
    finally:
        disconnect(name)


def _until(works: Callable[[], object], client: IpSecClient) -> None:
    until(
        works,
        deadline=START_SECONDS,
        otherwise=lambda: StepError(f"The IPsec client {client.name} does not come up.", client.log),
    )


def _directory(name: str) -> Path:
    return DIRECTORY / f"ipsec-{name}"


def _daemon(name: str) -> Daemon:
    return Daemon(f"ipsec-client-{name}")
