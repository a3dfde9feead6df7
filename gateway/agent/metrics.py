"""What Prometheus may know: sums over all devices. No label per device and no secret, so no token is needed."""

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.agent.devices import Devices
from gateway.agent.protocol import AccessStatus

HANDSHAKE_AGES_S = (180, 900, 3600, 86400)
"""A session lives 180 s after its handshake, so devices within the first are connected now."""


class GatewayCollector(Collector):
    """Asks devices and protocol at the time of the scrape."""

    def __init__(self, devices: Devices, access: AccessStatus) -> None:
        self._devices = devices
        self._access = access

    def collect(self) -> Iterator[Metric]:
        """All metrics about devices."""
        pool = self._devices.pool
        yield GaugeMetricFamily(
            "meshgate_peers", "Devices that may come in.", value=len(pool.taken) - self._devices.resting
        )
        yield GaugeMetricFamily("meshgate_peers_limit", "Devices for whom there are addresses.", value=pool.capacity)
        yield self._handshakes()
        if traffic := self._access.traffic():
            for direction, count, meaning in (
                ("received", traffic.received, "Bytes that came from devices, without the protocol's own."),
                ("sent", traffic.sent, "Bytes that went to devices, without the protocol's own."),
            ):
                yield CounterMetricFamily(f"meshgate_tunnel_{direction}_bytes", meaning, value=count)

    def _handshakes(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily(
            "meshgate_peers_handshake_within", "Devices whose last handshake is no older.", labels=["seconds"]
        )
        for limit in HANDSHAKE_AGES_S:
            family.add_metric([str(limit)], self._access.heard_within(limit))
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


def make_registry(devices: Devices, access: AccessStatus) -> CollectorRegistry:
    """A registry of this agent's own, with the devices and the process in it."""
    registry = CollectorRegistry()
    registry.register(GatewayCollector(devices, access))
    ProcessCollector(registry=registry)
    return registry
