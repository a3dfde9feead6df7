"""Start and end of the agent.

The start checks settings and key pair, then opens the API's socket, the store and the firewall. Tunnel, expiry,
readiness and HTTP then run together. The interface may come later, or go and return: /readyz tells whether it stands.
The end takes less than a second and leaves tunnels, devices and firewall as they are.
"""

import asyncio
import logging
import signal

from gateway.agent import logs
from gateway.agent.api import create_app
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.expiry import expire
from gateway.agent.firewall import Firewall
from gateway.agent.health import Health, mesh_client
from gateway.agent.metrics import make_registry
from gateway.agent.protocols.wireguard.key_pair import check_key_pair
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.protocols.wireguard.tunnel import Tunnel
from gateway.agent.protocols.wireguard.wg import WireGuard
from gateway.agent.readiness import Readiness
from gateway.agent.server import certificate, listen, serve
from gateway.agent.settings import AgentSettings, SettingsError, load, read_secret
from gateway.agent.store import Store, StoreError
from gateway.agent.tasks import run_until_first_ends

log = logging.getLogger(__name__)

STORE_FILE = "peers.sqlite"


async def run(settings: AgentSettings, token: str, stop: asyncio.Event) -> None:
    """Run until `stop` is set or something ends that should not; SettingsError, StoreError, CommandError."""
    await check_key_pair(settings)
    tls = certificate(settings)
    listener = listen(settings)
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"MESHGATE_STATE_DIR: {settings.state_dir} cannot be made: {error.strerror}") from error
    store = Store(settings.state_dir / STORE_FILE)
    wireguard = WireGuard(settings.interface)
    peers = Peers(wireguard, settings.client_networks)
    try:
        devices = Devices(store, peers, settings.client_networks, settings.public_key)
    except ValueError as error:
        raise SettingsError(f"MESHGATE_CLIENT_NETWORKS: {error}") from error
    firewall = Firewall(settings)
    await firewall.apply()
    tunnel = Tunnel(settings, wireguard, firewall, peers, devices)
    registry = make_registry(devices, tunnel)
    async with mesh_client(settings) as http:
        health = Health(settings, tunnel, firewall, http)
        readiness = Readiness(health.parts, devices.store_problems)
        app = create_app(settings, token, devices, readiness.problems, registry)
        first = await run_until_first_ends(
            {
                "signal": _ended(stop),
                "tunnel": tunnel.keep(),
                "expiry": expire(devices),
                "readiness": readiness.watch(),
                "http": serve(app, listener, tls),
            }
        )
    if first != "signal":
        raise RuntimeError(f"the task {first} has ended unexpectedly")


async def _ended(stop: asyncio.Event) -> None:
    await stop.wait()


async def _main() -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    settings = load(AgentSettings)
    await run(settings, read_secret("MESHGATE_TOKEN_FILE", settings.token_file), stop)


def main() -> int:
    """Run the agent: 0 after SIGTERM, 2 if its settings cannot be used, 1 if it cannot go on."""
    logs.configure()
    try:
        asyncio.run(_main())
    except SettingsError as error:
        logs.each_line(log, error)
        return 2
    except (StoreError, CommandError, RuntimeError) as error:
        log.critical("%s", error)
        return 1
    return 0
