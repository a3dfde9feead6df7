"""What an honest caller waits while another address sends fifty times as many bad requests. See docs/figures.md."""

import statistics
import time
from contextlib import nullcontext

import httpx
import pytest

from tests.contract.agent.conftest import wireguard_go, world
from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.test_strangers import strangers
from tests.contract.agent.world import BASE_URL, HTTP_PORT, NO_TLS, TOKEN, World
from tests.device_paths import device_path
from tests.prove.figures import show
from tests.unit.agent.fakes import key_pair

__all__ = ["wireguard_go", "world"]

pytestmark = pytest.mark.timeout(300)

PER_SECOND, FOLD, COUNT = 20, 50, 300
CLOSED_PORT = 9


def test_an_honest_caller_during_a_fiftyfold_flood(world: World) -> None:
    """The same flood at a port where nobody listens shows what the machine that sends it costs."""
    floods = {"quiet": None, "flood elsewhere": CLOSED_PORT, "flood": HTTP_PORT}
    for pooled in (True, False):
        times = {name: _milliseconds(world, pooled=pooled, flooded=port) for name, port in floods.items()}
        figures = {name: statistics.quantiles(found, n=100) for name, found in times.items()}
        show(
            f"register and revoke, {PER_SECOND} a second, {'one connection' if pooled else 'a connection each'}, "
            f"{FOLD} times as many bad requests: "
            + "; ".join(f"{name} p50 {found[49]:.1f} ms, p99 {found[98]:.1f} ms" for name, found in figures.items())
        )


def _milliseconds(world: World, *, pooled: bool, flooded: int | None) -> list[float]:
    """Of COUNT requests, each at its time, whatever those before took."""
    keys = [key_pair().public for _ in range(COUNT // 2)]
    took = []
    flood = strangers(world, "requests", FOLD * PER_SECOND, flooded) if flooded else nullcontext()
    with flood, in_namespace(world.gateway.name):
        limits = httpx.Limits(max_keepalive_connections=1 if pooled else 0)
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=BASE_URL, headers=headers, limits=limits, trust_env=False, verify=NO_TLS) as http:
            due = time.monotonic()
            for key in keys:
                path = device_path(key)
                for method, where, body in (("POST", "/v1/peers", {"public_key": key}), ("DELETE", path, None)):
                    time.sleep(max(0.0, due - time.monotonic()))
                    start = time.perf_counter()
                    http.request(method, where, json=body).raise_for_status()
                    took.append((time.perf_counter() - start) * 1000)
                    due += 1 / PER_SECOND
    return took
