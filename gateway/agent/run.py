"""Start and end of the agent.

The start checks settings and keys, then opens the sockets, the store and the firewall. Protocols, firewall, expiry,
flows, readiness, API and probes then run together. What a protocol needs may come later, or go and return: /readyz
tells whether it is there. Live settings and tokens are taken up while all of it goes on. The end takes less than a
second and leaves tunnels, devices and firewall as they are.
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
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.wireguard.access import WireGuardAccess
from gateway.agent.protocols.wireguard.key_pair import check_key_pair
from gateway.agent.readiness import Readiness
from gateway.agent.server import PROBE_BOUNDS, certificate, listen, serve
from gateway.agent.settings_loading import SettingsError, read_file
from gateway.agent.store import StoreError
from gateway.agent.stores import open_store
from gateway.agent.tasks import run_until_first_ends, stop_signal
from gateway.agent.watched_file import WatchedFile, watch

if TYPE_CHECKING:
    from gateway.agent.certified_devices import CertifiedDevices
    from gateway.agent.protocols.ipsec.access import IpSec
    from gateway.agent.protocols.openvpn.access import OpenVpn

    Offered = WireGuardAccess | OpenVpn | IpSec

log = logging.getLogger(__name__)


async def run(live: LiveSettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set or something ends that should not; SettingsError, StoreError, CommandError."""
    settings = live()
    token_lines = read_file(tokens.FILE, settings.token_file)
    good_tokens = tokens.Tokens(token_lines)
    firewall = Firewall(settings)
    protocols, certified = await _offered(live, firewall)
    tls = certificate(settings)
    listener = listen("MESHGATE_HTTP_PORT", settings.http_host, settings.http_port)
    probe_listener = listen("MESHGATE_PROBE_PORT", settings.http_host, settings.probe_port)
    store = open_store(settings)
    access = Dispatch(protocols)
    keys = (settings.public_key, settings.previous_public_key)
    try:
        devices = Devices(store, access, settings.client_networks, *keys, renumber=settings.renumber)
    except ValueError as error:
        raise SettingsError(f"MESHGATE_CLIENT_NETWORKS: {error}") from error
    await firewall.apply()
    live.follow(firewall.take_up)
    watched = [WatchedFile(tokens.FILE, settings.token_file, token_lines, good_tokens.take_up)]
    if live.path:
        read = live_settings.read_directory
        watched.append(WatchedFile(live_settings.DIRECTORY, live.path, live.lines, live.take_up, read))
    registry = make_registry(devices, *protocols.values())
    async with mesh_client(settings) as http:
        health = Health(settings, protocols.values(), firewall, http)
        app = create_app(live, good_tokens.grant, devices, certified)
        readiness = Readiness(health.parts, devices.store_problems, is_shared=devices.is_shared)
        probes = create_probes(readiness.problems, registry, lambda: readiness.warnings)
        first = await run_until_first_ends(
            {
                "signal": stop.wait(),
                **{name: protocol.keep(devices) for name, protocol in protocols.items()},
                "firewall": firewall.keep(),
                "store": devices.follow(),
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


async def _offered(live: LiveSettings, firewall: Firewall) -> "tuple[dict[str, Offered], CertifiedDevices | None]":
    """The protocols that devices come in by, and devices with certificates where one needs these; SettingsError.

    What certificates need is loaded only there.
    """
    settings = live()
    protocols: dict[str, Offered] = {}
    if settings.wireguard:
        await check_key_pair(settings.wireguard)
        if settings.previous:
            await check_key_pair(settings.previous, "MESHGATE_PREVIOUS_")
        protocols["wireguard"] = WireGuardAccess(live, settings.wireguard, firewall)
    if settings.offered == ("wireguard",):
        return protocols, None
    from gateway.agent.certificates import load_issuer
    from gateway.agent.certified_devices import CertifiedDevices
    from gateway.agent.protocols.ipsec.access import IpSec
    from gateway.agent.protocols.openvpn.access import OpenVpn

    issuer = load_issuer(settings)
    certified: dict[str, type[OpenVpn | IpSec]] = {"openvpn": OpenVpn, "ipsec": IpSec}
    protocols |= {name: protocol(live, issuer) for name, protocol in certified.items() if name in settings.offered}
    return protocols, CertifiedDevices(issuer)


async def _main() -> None:
    stop = stop_signal()
    await run(LiveSettings(), stop)


def main() -> int:
    """Run the agent: 0 after SIGTERM, 2 if its settings cannot be used, 1 if it cannot go on."""
    return exit_status(log, lambda: asyncio.run(_main()), StoreError, CommandError, RuntimeError)
