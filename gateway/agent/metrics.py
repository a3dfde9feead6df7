"""What Prometheus may know: sums over all devices, never a label per device, no secrets, so no token either."""

import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.agent.devices import Devices
from gateway.agent.protocols.wireguard.tunnel import Tunnel

HANDSHAKE_AGES_S = (180, 900, 3600, 86400)
"""A session lives 180 s after its handshake, so devices within the first are connected now."""


class GatewayCollector(Collector):
    """Reads devices and interface at the time of the scrape; devices' handshakes are as old as the last look."""

    def __init__(self, interface: str, devices: Devices, tunnel: Tunnel) -> None:
        self._statistics = Path("/sys/class/net", interface, "statistics")
        self._devices = devices
        self._tunnel = tunnel

    def collect(self) -> Iterator[Metric]:
        """All metrics about the tunnel."""
        pool = self._devices.pool
        yield GaugeMetricFamily("meshgate_peers", "Devices that may come in.", value=len(pool.taken))
        yield GaugeMetricFamily("meshgate_peers_limit", "Devices for whom there are addresses.", value=pool.capacity)
        yield self._handshakes()
        for direction, file, meaning in (
            ("received", "rx_bytes", "Bytes that came from devices, without WireGuard's own."),
            ("sent", "tx_bytes", "Bytes that went to devices, without WireGuard's own."),
        ):
            try:
                count = int((self._statistics / file).read_text())
            except OSError:  # there is no interface just now
                continue
            yield CounterMetricFamily(f"meshgate_tunnel_{direction}_bytes", meaning, value=count)

    def _handshakes(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "meshgate_peers_handshake_within", "Devices whose last handshake is no older.", labels=["seconds"]
        )
        seen = self._tunnel.seen
        ages = [time.time() - peer.last_handshake for peer in seen.peers.values()] if seen else []
        for limit in HANDSHAKE_AGES_S:
            family.add_metric([str(limit)], sum(age <= limit for age in ages))
        return family


class RequestMetrics:
    """ASGI middleware: counts and times requests by route (not by path, which holds keys) and status."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._count = Counter(
            "meshgate_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._time = Histogram(
            "meshgate_request_seconds",
            "Time to the end of the answer.",
            ["route"],
            buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5),
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = "500"

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        start = time.perf_counter()
        try:
            await self._app(scope, receive, send_and_see)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            self._count.labels(_method(scope["method"]), route, status).inc()
            self._time.labels(route).observe(time.perf_counter() - start)


def _method(method: str) -> str:
    """The method, or `other`: callers can make up as many as they like."""
    return method if method in {"GET", "POST", "DELETE"} else "other"


def make_registry(interface: str, devices: Devices, tunnel: Tunnel) -> CollectorRegistry:
    """A registry of this agent's own, with the tunnel and the process in it."""
    registry = CollectorRegistry()
    registry.register(GatewayCollector(interface, devices, tunnel))
    ProcessCollector(registry=registry)
    return registry
