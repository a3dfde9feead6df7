"""What Prometheus may know: sums over all devices. No label per device and no secret, so no token is needed."""

import platform
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway import __version__
from gateway.agent import measures
from gateway.agent.devices import Devices
from gateway.agent.protocol import AccessStatus

HANDSHAKE_AGES_S = (180, 900, 3600, 86400)
"""A session lives 180 s after its handshake, so devices within the first are connected now."""


class GatewayCollector(Collector):
    """Asks devices and protocols at the time of the scrape."""

    def __init__(self, devices: Devices, protocols: Collection[AccessStatus]) -> None:
        self._devices = devices
        self._protocols = protocols

    def describe(self) -> Iterator[Metric]:
        """All metrics about devices, without values."""
        yield from vars(_Families()).values()

    def collect(self) -> Iterator[Metric]:
        """All metrics about devices."""
        families, pool = _Families(), self._devices.pool
        families.peers.add_metric([], len(pool.taken) - self._devices.resting)
        families.resting.add_metric([], self._devices.resting)
        if self._devices.has_previous_key:  # 0 would say that all have moved
            families.unmoved.add_metric([], len(self._devices.unmoved()))
        families.addresses.add_metric([], pool.capacity)
        families.taken.add_metric([], len(pool.taken) + len(pool.resting))
        for limit in HANDSHAKE_AGES_S:
            families.handshakes.add_metric([str(limit)], sum(one.heard_within(limit) for one in self._protocols))
        if traffic := [passed for one in self._protocols if (passed := one.traffic())]:
            families.received.add_metric([], sum(passed.received for passed in traffic))
            families.sent.add_metric([], sum(passed.sent for passed in traffic))
        families.build.add_metric([__version__, platform.python_version()], 1)
        yield from (family for family in vars(families).values() if family.samples)


class _Families:
    """What GatewayCollector tells."""

    def __init__(self) -> None:
        self.peers = GaugeMetricFamily("meshgate_peers", "Devices that may come in.", labels=[])
        self.resting = GaugeMetricFamily(
            "meshgate_peers_resting", "Devices whose time is over, and whose addresses are not free yet.", labels=[]
        )
        self.unmoved = GaugeMetricFamily(
            "meshgate_peers_on_previous_key",
            "Devices that were not heard by the present key since a rotation; not there without a previous one.",
            labels=[],
        )
        self.addresses = GaugeMetricFamily(
            "meshgate_pool_addresses", "Devices for whom there are addresses.", labels=[]
        )
        self.taken = GaugeMetricFamily("meshgate_pool_addresses_taken", "Addresses that are not free.", labels=[])
        self.handshakes = GaugeMetricFamily(
            "meshgate_peers_handshake_within",
            f"Devices whose last handshake is no older: {', '.join(map(str, HANDSHAKE_AGES_S))} seconds.",
            labels=["seconds"],
        )
        self.received = CounterMetricFamily(
            "meshgate_tunnel_received_bytes", "Bytes that came from devices, without the protocol's own.", labels=[]
        )
        self.sent = CounterMetricFamily(
            "meshgate_tunnel_sent_bytes", "Bytes that went to devices, without the protocol's own.", labels=[]
        )
        self.build = GaugeMetricFamily("meshgate_build_info", "1, with what runs.", labels=["version", "python"])


REQUESTS = Counter("meshgate_requests", "Requests answered.", ["method", "route", "status"], registry=None)
REQUEST_SECONDS = Histogram(
    "meshgate_request_seconds",
    "Time to the end of the answer.",
    ["route"],
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5),
    registry=None,
)


class RequestMetrics:
    """ASGI middleware: counts and times requests by route (not by path, which holds keys) and status."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
            REQUESTS.labels(_method(scope["method"]), route, status).inc()
            REQUEST_SECONDS.labels(route).observe(time.perf_counter() - start)


def _method(method: str) -> str:
    """The method, or `other`: callers can make up as many as they like."""
    return method if method in {"GET", "POST", "DELETE"} else "other"


def make_registry(devices: Devices, *protocols: AccessStatus) -> CollectorRegistry:
    """All that Prometheus is told: of devices, requests, the agent's work and its process."""
    registry = CollectorRegistry()
    for collector in (GatewayCollector(devices, protocols), REQUESTS, REQUEST_SECONDS, *measures.ALL):
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


@dataclass(frozen=True)
class Described:
    """A metric as documentation has it: its name in a scrape, its type, its labels and what it tells."""

    name: str
    type: str
    labels: tuple[str, ...]
    text: str


def described() -> list[Described]:
    """All metrics of ours; those of the process (process_…) are the Prometheus client's."""
    ours = [*vars(_Families()).values(), REQUESTS, REQUEST_SECONDS, *measures.ALL]
    found = []
    for metric in ours:
        family = metric if isinstance(metric, Metric) else next(iter(metric.describe()))
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found.append(Described(name, family.type, tuple(metric._labelnames), family.documentation))
    return sorted(found, key=lambda one: one.name)
