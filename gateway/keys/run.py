"""Start and end of the key service."""

import asyncio
import logging
import time

from prometheus_client import CollectorRegistry, ProcessCollector

from gateway.agent import measures, tokens
from gateway.agent.exit_status import exit_status
from gateway.agent.probes import create_probes
from gateway.agent.server import PROBE_BOUNDS, listen, serve
from gateway.agent.settings_loading import SettingsError, load, read_file, read_secret
from gateway.agent.tasks import run_until_first_ends, stop_signal
from gateway.agent.watched_file import WatchedFile, watch
from gateway.headscale.client import Headscale
from gateway.headscale.errors import HeadscaleError
from gateway.keys.api import create_app
from gateway.keys.mesh_devices import MeshDevices
from gateway.keys.settings import KeySettings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


class Reachable:
    """Whether Headscale answers to the API key, as of a moment ago."""

    def __init__(self, devices: MeshDevices) -> None:
        self._devices = devices
        self._looked_at = float("-inf")
        self._problems: list[str] = []

    async def problems(self) -> list[str]:
        """A sentence if it does not."""
        if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
            try:
                await asyncio.to_thread(self._devices.check)
                self._problems = []
            except (HeadscaleError, SettingsError) as error:
                self._problems = [str(error)]
            self._looked_at = time.monotonic()
            measures.READY.set(not self._problems)
        return self._problems


def connection(settings: KeySettings) -> Headscale:
    """A client with the API key as it is now; SettingsError if there is none."""
    ca = settings.ca_certificate_file
    return Headscale(
        settings.headscale_url,
        read_secret("MESHGATE_API_KEY_FILE", settings.api_key_file),
        ca_certificate=read_file("MESHGATE_CA_CERTIFICATE_FILE", ca) if ca else None,
    )


async def run(settings: KeySettings, stop: asyncio.Event) -> None:
    """Run until `stop` is set; SettingsError."""
    lines = read_file(tokens.FILE, settings.token_file)
    good_tokens = tokens.Tokens(lines)
    listener = listen("MESHGATE_HTTP_PORT", settings.http_host, settings.http_port)
    probe_listener = listen("MESHGATE_PROBE_PORT", settings.http_host, settings.probe_port)
    devices = MeshDevices(lambda: connection(settings), settings)
    registry = CollectorRegistry()
    for collector in measures.ALL:
        registry.register(collector)
    ProcessCollector(registry=registry)
    await run_until_first_ends(
        {
            "signal": stop.wait(),
            "files": watch([WatchedFile(tokens.FILE, settings.token_file, lines, good_tokens.take_up)]),
            "http": serve(create_app(settings, good_tokens.grant, devices), listener),
            "probes": serve(create_probes(Reachable(devices).problems, registry), probe_listener, bounds=PROBE_BOUNDS),
        }
    )


async def _main() -> None:
    stop = stop_signal()
    await run(load(KeySettings), stop)


def main() -> int:
    """Run the key service: 0 after SIGTERM, 2 if its settings cannot be used."""
    return exit_status(log, lambda: asyncio.run(_main()))
