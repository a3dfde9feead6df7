"""Providers as the plugin process has them, but connected to a Headscale and a cluster in memory."""

from functools import cached_property
from typing import Any, Protocol, TypeVar

from pulumi.output import Unknown

from gateway.headscale.client import Headscale
from infra.resources.base import Provider
from infra.resources.connections import Connections, settings_by
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster

P = TypeVar("P", bound=Provider)

_unknown: Any = Unknown
UNKNOWN: object = _unknown()
"""What `check` and `diff` see in a preview for a value that is not known yet."""

CONFIG = {
    "namespace": "meshgate",
    "headscale": {"managed": True, "url": "https://headscale.test"},
    "gateways": [{"name": "gw", "endpoint": "vpn.example.com:31820"}],
}


class Connect(Protocol):
    """Makes a provider that is connected to the test's server and cluster."""

    def __call__(self, kind: type[P]) -> P: ...


class FakeConnections(Connections):
    """A stack with a managed server."""

    def __init__(self, server: FakeHeadscale, cluster: FakeCluster, **config: object) -> None:
        super().__init__(settings_by({**CONFIG, **config}.get))
        self._server = server
        self._fake = cluster

    def headscale_with(self, api_key: str) -> Headscale:
        return Headscale(self._server.url, api_key, transport=self._server)

    @cached_property
    def cluster(self) -> FakeCluster:
        return self._fake
