"""Start and end of the agent.

The start checks settings and key pair, then opens the sockets, the store and the firewall. Tunnel, expiry, flows,
readiness, API and probes then run together. The interface may come later, or go and return: /readyz tells whether it
stands. Live settings and tokens are taken up while all of it goes on. The end takes less than a second and leaves
tunnels, devices and firewall as they are.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.agent import live_settings, tokens
from gateway.agent.api import create_app
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.exit_status import exit_status
from gateway.agent.expiry import keep_expiring
from gateway.agent.firewall import Firewall
from gateway.agent.flows import Flows
from gateway.agent.health import Health, mesh_client
from gateway.agent.live_settings import LiveSettings
from gateway.agent.metrics import make_registry
from gateway.agent.probes import create_probes
from gateway.agent.protocol import AccessStatus
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.wireguard.key_pair import check_key_pair
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.protocols.wireguard.tunnel import Tunnel
from gateway.agent.protocols.wireguard.wg import WireGuard
from gateway.agent.readiness import Readiness
from gateway.agent.server import PROBE_BOUNDS, certificate, listen, serve
from gateway.agent.settings import SettingsError, read_file
from gateway.agent.store import Store, StoreError
from gateway.agent.tasks import run_until_first_ends, stop_signal
from gateway.agent.watched_file import WatchedFile, watch

if TYPE_CHECKING:
    from gateway.agent.certified_devices import CertifiedDevices
    from gateway.agent.protocols.ipsec.access import IpSec
    from gateway.agent.protocols.openvpn.access import OpenVpn

log = logging.getLogger(__name__)

STORE_FILE = "peers.sqlite"


async def run(live: LiveSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set or something ends that should not; SettingsError, StoreError, CommandError."""
    settings = live()
    token_lines = read_file(tokens.FILE, settings.token_file)
    good_tokens = tokens.Tokens(token_lines)
    await check_key_pair(settings)
    tls = certificate(settings)
    listener = listen("MESHGATE_HTTP_PORT", settings.http_host, settings.http_port)
    probe_listener = listen("MESHGATE_PROBE_PORT", settings.http_host, settings.probe_port)
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"MESHGATE_STATE_DIR: {settings.state_dir} cannot be made: {error.strerror}") from error
    store = Store(settings.state_dir / STORE_FILE)
    wireguard = WireGuard(settings.interface)
    peers = Peers(wireguard, settings.client_networks)
    certified, others = _certified(live) if settings.offered != ("wireguard",) else (None, {})
    access = Dispatch({"wireguard": peers, **others})
    try:
        devices = Devices(store, access, settings.client_networks, settings.public_key, renumber=settings.renumber)
    except ValueError as error:
        raise SettingsError(f"MESHGATE_CLIENT_NETWORKS: {error}") from error
    firewall = Firewall(settings)
    await firewall.apply()
    tunnel = Tunnel(settings, wireguard, firewall, peers, devices)
    live.follow(firewall.take_up, tunnel.take_up)
    watched = [WatchedFile(tokens.FILE, settings.token_file, token_lines, good_tokens.take_up)]
    if live.path:
        read = live_settings.read_directory
        watched.append(WatchedFile(live_settings.DIRECTORY, live.path, live.lines, live.take_up, read))
    protocols: dict[str, AccessStatus] = {"interface": tunnel, **others}
    registry = make_registry(devices, *protocols.values())
    async with mesh_client(settings) as http:
        health = Health(settings, protocols, firewall, http)
        app = create_app(live, good_tokens.grant, devices, certified)
        readiness = Readiness(health.parts, devices.store_problems)
        probes = create_probes(readiness.problems, registry)
        first = await run_until_first_ends(
            {
                "signal": stop.wait(),
                "tunnel": tunnel.keep(),
                **{name: protocol.keep(devices) for name, protocol in others.items()},
                "expiry": keep_expiring(devices.expire),
                "flows": Flows(devices, settings.client_networks).keep(),
                "files": watch(watched),
                "readiness": readiness.watch(),
                "http": serve(app, listener, tls),
                "probes": serve(probes, probe_listener, bounds=PROBE_BOUNDS),
            }
        )
    if first != "signal":
        raise RuntimeError(f"the task {first} has ended unexpectedly")


def _certified(live: LiveSettings) -> "tuple[CertifiedDevices, dict[str, OpenVpn | IpSec]]":
    """Devices with certificates, and the protocols that they come in by.

    What these need is loaded where they are offered.
    """
    from gateway.agent.certificates import load_issuer
    from gateway.agent.certified_devices import CertifiedDevices
    from gateway.agent.protocols.ipsec.access import IpSec
    from gateway.agent.protocols.openvpn.access import OpenVpn

    issuer = load_issuer(live())
    all_protocols: dict[str, type[OpenVpn | IpSec]] = {"openvpn": OpenVpn, "ipsec": IpSec}
    return CertifiedDevices(issuer), {
        name: protocol(live, issuer) for name, protocol in all_protocols.items() if name in live().offered
    }


async def _main() -> None:
    stop = stop_signal()
    await run(LiveSettings(), stop)


def main() -> int:
    """Run the agent: 0 after SIGTERM, 2 if its settings cannot be used, 1 if it cannot go on."""
    return exit_status(log, lambda: asyncio.run(_main()), StoreError, CommandError, RuntimeError)
