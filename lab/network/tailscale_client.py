"""A stock Tailscale client on the lab's lan, made from the orchestrator's answer alone: a laptop in the mesh."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from console.errors import StepError
from console.waiting import until
from lab.network import joining
from lab.network.sandbox import Sandbox
from lab.network.tunnel_client import DIRECTORY, TunnelClient, take_away, write_config
from lab.processes.daemon import Daemon
from lab.tools import go_builds, pinned_tools

START_SECONDS = 20.0
JOIN_SECONDS = 30


class TailscaleClient(TunnelClient):
    """A client that was connected."""

    @property
    def log(self) -> Path:
        """What its daemon says."""
        return _daemon(self.name).log

    def tailscale(self, *arguments: str) -> str:
        """What a `tailscale` command prints where the client is."""
        program = go_builds.resolve(pinned_tools.TAILSCALED).with_name("tailscale")
        return self.run([program, f"--socket={_socket(self.name)}", *arguments], doing="run tailscale in the client")

    def path_to(self, address: str) -> str:
        """How packets go to a node: the host and port of a direct path, or the relay's name as `DERP(…)`."""
        pong = self.tailscale("ping", "--timeout=2s", "--c=10", address).splitlines()[-1]
        return pong.partition(" via ")[2].partition(" in ")[0]


def connect(name: str, registered: Mapping[str, Any], ca: Path) -> TailscaleClient:
    """Let a client join with the answer to its registration, which a server behind the CA in that file gave."""
    disconnect(name)
    state = _directory(name)
    state.mkdir(parents=True)
    key = write_config(f"{name}.key", registered["pre_auth_key"])
    host = joining.attach(name)
    daemon = _daemon(name)
    daemon.log.unlink(missing_ok=True)
    tailscaled = go_builds.resolve(pinned_tools.TAILSCALED)
    sandbox = Sandbox(network=host.namespace, hostname=f"client-{name}")
    options = (f"--statedir={state}", f"--socket={_socket(name)}", "--port=41641", "--no-logs-no-support")
    environment = {"SSL_CERT_FILE": str(ca), "TS_DEBUG_FIREWALL_MODE": "nftables"}
    process = daemon.start(sandbox.command([str(tailscaled), *options]), environment)
    client = TailscaleClient(name, host, process.pid)
    until(
        _socket(name).exists,
        deadline=START_SECONDS,
        otherwise=lambda: StepError(f"The Tailscale client {name} does not start.", daemon.log),
    )
    client.tailscale(
        "up",
        f"--login-server={registered['login_server']}",
        f"--auth-key=file:{key}",
        f"--hostname={name}",
        "--accept-dns=false",
        f"--timeout={JOIN_SECONDS}s",
    )
    return client


def disconnect(name: str) -> None:
    """End a client and take it off the lan; nothing happens when there is none."""
    take_away(name, _daemon(name), _directory(name), DIRECTORY / f"{name}.key")


@contextmanager
def connected(name: str, registered: Mapping[str, Any], ca: Path) -> Iterator[TailscaleClient]:
    """Give a client for the time of the block."""
    try:
        yield connect(name, registered, ca)
    finally:
        disconnect(name)


def _directory(name: str) -> Path:
    return DIRECTORY / f"tailscale-{name}"


def _socket(name: str) -> Path:
    return _directory(name) / "tailscaled.sock"


def _daemon(name: str) -> Daemon:
    return Daemon(f"tailscale-client-{name}")
