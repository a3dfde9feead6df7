"""What is measured of every way in besides WireGuard, beside it in one run."""

import json
import statistics
import time
from functools import partial

from gateway.agent.certificates import new_key
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.world import FAR_4, World
from tests.prove.capacity import memory_mib, random_key, seconds
from tests.prove.figures import show
from tests.unit.agent.test_certificates import request

DEVICES = 1000
SESSIONS = 50
CONNECTS = 5
ROUNDS = 3


def register_a_thousand(world: World, way: str) -> None:
    """Register devices by a way in and by WireGuard: how long each takes, and how the agent grows."""
    assert world.agent is not None
    bodies = {
        way: [{"protocol": way, "certificate_request": request(new_key())} for _ in range(DEVICES)],
        "wireguard": [{"public_key": random_key()} for _ in range(DEVICES)],
    }
    with world.http() as http:
        for protocol, each in bodies.items():
            before = memory_mib(world.agent.pid, "VmRSS")
            times = [seconds(partial(http.post, "/v1/peers", json=body)) * 1000 for body in each]
            centiles = statistics.quantiles(times, n=100)
            grown = memory_mib(world.agent.pid, "VmRSS") - before
            show(
                f"registering {DEVICES} devices by {protocol}: p50 {centiles[49]:.1f} ms, p99 {centiles[98]:.1f} ms; "
                f"the agent grew by {grown} MiB"
            )


def compare_rates(world: World, name: str, other: Namespace, native: Namespace) -> None:
    """One TCP stream through WireGuard and one through another way, in turns."""
    rates: dict[str, list[float]] = {"wireguard": [], name: []}
    for _ in range(ROUNDS):
        rates["wireguard"].append(_megabits(world.far, native))
        rates[name].append(_megabits(world.far, other))
    wireguard, own = (statistics.median(each) for each in rates.values())
    show(f"{name}: {own:.0f} Mbit/s against {wireguard:.0f} of WireGuard: {own / wireguard:.2f}")


def _megabits(server: Namespace, client: Namespace) -> float:
    """One TCP stream from the client for five seconds."""
    process = server.start("iperf3", "--server", "--one-off")
    time.sleep(0.5)
    told = json.loads(client.run("iperf3", "--client", FAR_4, "--time", "5", "--json"))
    process.wait(10)
    return float(told["end"]["sum_received"]["bits_per_second"]) / 1e6
