"""Runs OpenVPN: one process per transport, beside the agent and outliving it, so that sessions do too.

`python -m gateway.agent.protocols.openvpn.server_process` makes a tun device for each, which keeps its routes while
OpenVPN is replaced, and starts OpenVPN as soon as the agent has told it its credentials (`server_files`). New ones
replace the process. If it dies, it is started again at once. If it keeps dying at once, this process ends too.
"""

import asyncio
import logging
import sys
from ipaddress import IPv4Network
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.agent.command import CommandError, run
from gateway.agent.endpoints import Listener
from gateway.agent.exit_status import exit_status
from gateway.agent.pool import GATEWAY_NUMBER, Network
from gateway.agent.protocols import daemon
from gateway.agent.protocols.openvpn import TOLD, socket
from gateway.agent.settings_loading import load
from gateway.agent.tasks import run_until_first_ends, stop_signal
from gateway.agent.value_types import Listeners, Networks

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5

_CONFIGURATION = """\
mode server
tls-server
proto {protocol}
port {port}
dev {interface}
dev-type tun
disable-dco
topology subnet
ifconfig-noexec
route-noexec
{addresses}
push "topology subnet"
keepalive 10 60
persist-key
persist-tun
dh none
tls-version-min 1.3
remote-cert-tls client
data-ciphers AES-256-GCM:CHACHA20-POLY1305
max-clients 65536
management {socket} unix
management-client-auth
auth-user-pass-optional
script-security 1
tmp-dir {directory}
verb 1
{of_transport}
"""
_OF_TRANSPORT = {
    "udp": "multihome\nexplicit-exit-notify 1\nconnect-freq-initial 1000 10",
    "tcp": "tcp-nodelay",
}
_PROTOCOL = {"udp": ("udp4", "udp6"), "tcp": ("tcp4-server", "tcp6-server")}
"""Without and with IPv6; a socket of the latter takes IPv4, too."""
IPV6 = Path("/proc/self/net/if_inet6")


class ServerSettings(BaseSettings):
    """What this process needs to know."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_", frozen=True)

    openvpn_listen: Listeners
    openvpn_dir: Path
    client_networks: Networks


def configuration(listener: Listener, networks: tuple[Network, ...], directory: Path) -> str:
    """What OpenVPN is told of one transport. Addresses and routes of the interface are the agent's."""
    return _CONFIGURATION.format(
        protocol=_PROTOCOL[listener.transport][IPV6.exists()],
        port=listener.port,
        interface=listener.interface,
        addresses="\n".join(map(_address, networks)),
        socket=socket(directory, listener.transport),
        directory=directory,
        of_transport=_OF_TRANSPORT[listener.transport],
    )


def _address(network: Network) -> str:
    own = network[GATEWAY_NUMBER]
    if isinstance(network, IPv4Network):
        return f"ifconfig {own} {network.netmask}"
    return f"ifconfig-ipv6 {own}/{min(max(network.prefixlen, 64), 124)} {network[GATEWAY_NUMBER + 1]}"


class Server:
    """OpenVPN for one transport."""

    def __init__(self, listener: Listener, settings: ServerSettings) -> None:
        self._interface = listener.interface
        self._told_file = settings.openvpn_dir / TOLD
        self._file = settings.openvpn_dir / f"{listener.transport}.conf"
        self._file.write_text(configuration(listener, settings.client_networks, settings.openvpn_dir))
        self._transport = listener.transport

    async def keep(self) -> None:
        """Run OpenVPN until cancelled; DaemonError if it does not live."""
        await self._make_interface()
        try:
            await daemon.keep(f"OpenVPN for {self._transport}", self._run)
        finally:
            await run("ip", "link", "delete", "dev", self._interface)

    async def _make_interface(self) -> None:
        try:
            await run("ip", "link", "show", "dev", self._interface)  # a killed predecessor left it
        except CommandError:
            await run("ip", "tuntap", "add", "dev", self._interface, "mode", "tun")

    async def _run(self) -> bool:
        """One life of OpenVPN, with what the agent has told; whether it was ended to be told something else."""
        while (told := self._read()) is None:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(LOOK_EVERY_S)
        process = await asyncio.create_subprocess_exec(
            "openvpn", "--config", str(self._file), "--config", str(self._told_file)
        )
        try:
            while True:
                try:
                    async with asyncio.timeout(LOOK_EVERY_S):
                        code = await process.wait()
                except TimeoutError:
                    if self._read() not in {None, told}:
                        log.info("OpenVPN for %s starts again, with what the agent tells it now", self._transport)
                        return True
                else:
                    log.warning("OpenVPN for %s has ended with code %d", self._transport, code)
                    return False
        finally:
            await daemon.end(process)

    def _read(self) -> str | None:
        return self._told_file.read_text() if self._told_file.exists() else None


async def _main() -> None:
    settings = load(ServerSettings)
    stop = stop_signal()
    servers = {
        f"openvpn-{listener.transport}": Server(listener, settings).keep() for listener in settings.openvpn_listen
    }
    await run_until_first_ends({"signal": stop.wait(), **servers})


def main() -> int:
    """Run OpenVPN until SIGTERM: 0 then, 2 if the settings cannot be used, 1 if it does not live."""
    return exit_status(log, lambda: asyncio.run(_main()), daemon.DaemonError, CommandError, OSError)


if __name__ == "__main__":
    sys.exit(main())
