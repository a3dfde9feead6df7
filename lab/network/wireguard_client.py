"""A native WireGuard client on the lab's lan: a user's phone or laptop, as a network namespace.

It runs wireguard-go whatever the kernel can, so it is the same on every machine. It reaches only
the lan by itself; all else has to go through the tunnel.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from console.errors import StepError
from console.run import capture
from console.waiting import until
from lab.network import joining
from lab.network.sandbox import Sandbox, in_network
from lab.network.tunnel_client import DIRECTORY, TunnelClient, take_away, write_config
from lab.processes.daemon import Daemon
from lab.tools import go_builds, pinned_tools

INTERFACE = "wg0"
DEFAULT_MTU = 1420
"""What wg-quick takes on a link of 1500 bytes when a config names none."""

START_SECONDS = 5.0


@dataclass(frozen=True)
class Config:
    """A client's WireGuard config; lists are as in wg-quick(8), keys in base64."""

    private_key: str = field(repr=False)
    addresses: tuple[str, ...]
    server_public_key: str
    endpoint: str
    allowed_ips: tuple[str, ...]
    dns: tuple[str, ...] = ()
    mtu: int | None = None
    persistent_keepalive: int = 0

    @classmethod
    def from_registration(cls, answer: Mapping[str, Any]) -> Self:
        """Make a config from nothing but the orchestrator's answer to a registration."""
        return cls(
            private_key=answer["privateKey"],
            addresses=_split(answer["address"]),
            server_public_key=answer["serverPublicKey"],
            endpoint=answer["serverEndpoint"],
            allowed_ips=_split(answer["allowedIPs"]),
            dns=_split(answer["dns"]),
            persistent_keepalive=answer["persistentKeepalive"],
        )

    @classmethod
    def from_peer(cls, private_key: str, answer: Mapping[str, Any]) -> Self:
        """Make a config from the answer of a gateway's peer API."""
        return cls(
            private_key=private_key,
            addresses=tuple(answer["addresses"]),
            server_public_key=answer["server_public_key"],
            endpoint=answer["server_endpoint"],
            allowed_ips=tuple(answer["allowed_ips"]),
            dns=tuple(answer["dns"]),
            mtu=answer["mtu"],
            persistent_keepalive=answer["persistent_keepalive"],
        )

    def wg_quick(self) -> str:
        """Return the text that wg-quick and the phone apps read."""
        quick = [f"Address = {', '.join(self.addresses)}"]
        if self.dns:
            quick.append(f"DNS = {', '.join(self.dns)}")
        if self.mtu:
            quick.append(f"MTU = {self.mtu}")
        return self._text(quick)

    def wg(self) -> str:
        """Return the part that `wg setconf` reads."""
        return self._text([])

    def _text(self, interface: Sequence[str]) -> str:
        lines = (
            "[Interface]",
            f"PrivateKey = {self.private_key}",
            *interface,
            "",
            "[Peer]",
            f"PublicKey = {self.server_public_key}",
            f"Endpoint = {self.endpoint}",
            f"AllowedIPs = {', '.join(self.allowed_ips)}",
            f"PersistentKeepalive = {self.persistent_keepalive}",
        )
        return "\n".join(lines) + "\n"


class Client(TunnelClient):
    """A connected client."""

    def handshake_seconds(self) -> float | None:
        """Return the age of the latest handshake; None when there never was one."""
        latest = int(self.run(["wg", "show", INTERFACE, "latest-handshakes"]).split()[1])
        return time.time() - latest if latest else None

    def set_peer(self, *settings: str) -> None:
        """Change the tunnel as `wg set wg0 …` does."""
        self.run(["wg", "set", INTERFACE, *settings])


def connect(name: str, config: Config) -> Client:
    """Bring a client up (one of that name is replaced). It dials when it first has something to send."""
    disconnect(name)
    host = joining.attach(name)
    sandbox = Sandbox(network=host.namespace, hostname=f"client-{name}", empty=("/run",))
    # Its control socket is below /run, which is its own: two clients may both call it wg0.
    process = _daemon(name).start(sandbox.command([str(go_builds.resolve(pinned_tools.WIREGUARD_GO)), "-f", INTERFACE]))
    client = Client(name, host, process.pid)
    until(
        lambda: _has_interface(client),
        deadline=START_SECONDS,
        otherwise=lambda: StepError(f"wireguard-go of client {name} made no interface.", _daemon(name).log),
        poll=0.05,
    )
    settings = write_config(f"{name}.conf", config.wg())
    client.run(["wg", "setconf", INTERFACE, settings], doing="configure the client")
    ip = ("ip", "-netns", host.namespace)
    for address in config.addresses:
        nodad = ("nodad",) if ":" in address else ()
        capture([*ip, "address", "add", address, "dev", INTERFACE, *nodad], doing="give the client its address")
    mtu = str(config.mtu or DEFAULT_MTU)
    capture([*ip, "link", "set", INTERFACE, "mtu", mtu, "up"], doing="bring the client up")
    for route in config.allowed_ips:
        capture([*ip, "route", "replace", route, "dev", INTERFACE], doing="route into the client's tunnel")
    return client


def disconnect(name: str) -> None:
    """End a client and take it off the lan; nothing happens when there is none."""
    take_away(name, _daemon(name), DIRECTORY / f"{name}.conf")


@contextmanager
def connected(name: str, config: Config) -> Iterator[Client]:
    """Give a client for the time of the block."""
    try:
        yield connect(name, config)
    finally:
        disconnect(name)


@contextmanager
def bystander(name: str) -> Iterator[list[str]]:
    """Give the command prefix of a host on the lan without a tunnel."""
    try:
        yield in_network(joining.attach(name).namespace)
    finally:
        joining.detach(name)


def _daemon(name: str) -> Daemon:
    return Daemon(f"client-{name}")


def _has_interface(client: Client) -> bool:
    try:
        client.run(["wg", "show", INTERFACE])
    except StepError:
        return False
    return True


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
