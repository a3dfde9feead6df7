"""OpenVPN beside WireGuard at one gateway: registration, memory, connecting and throughput, side by side in one run."""

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from gateway.agent.certificates import new_key
from lab.tools import go_builds, pinned_tools
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.openvpn_gateway import TCP, UDP, Gateway
from tests.contract.agent.world import FAR_4, LAN_GATEWAY, World
from tests.prove.capacity import memory_mib, random_key, seconds
from tests.prove.figures import show
from tests.unit.agent.test_certificates import request

pytestmark = pytest.mark.timeout(900)

DEVICES = 1000
SESSIONS = 50
CONNECTS = 5
ROUNDS = 3
IDLE = "\nroute-noexec\nifconfig-noexec\n"
"""A client that only stands there."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    world = World(tmp_path, str(go_builds.resolve(pinned_tools.WIREGUARD_GO)))
    world.environment["MESHGATE_CLIENT_NETWORKS"] = "10.77.0.0/16,fd77::/64"
    gateway = Gateway(world)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.delete()


def test_a_thousand_devices(gateway: Gateway) -> None:
    assert gateway.world.agent is not None
    agent = gateway.world.agent.pid
    bodies = {
        "openvpn": [{"protocol": "openvpn", "certificate_request": request(new_key())} for _ in range(DEVICES)],
        "wireguard": [{"public_key": random_key()} for _ in range(DEVICES)],
    }
    with gateway.world.http() as http:
        for protocol, each in bodies.items():
            before = memory_mib(agent, "VmRSS")
            times = [seconds(partial(http.post, "/v1/peers", json=body)) * 1000 for body in each]
            centiles = statistics.quantiles(times, n=100)
            grown = memory_mib(agent, "VmRSS") - before
            show(
                f"registering {DEVICES} devices by {protocol}: p50 {centiles[49]:.1f} ms, p99 {centiles[98]:.1f} ms; "
                f"the agent grew by {grown} MiB"
            )


def test_sessions(gateway: Gateway) -> None:
    before = sum(memory_mib(pid, "VmRSS") for pid in gateway.children())
    with ExitStack() as clients, gateway.world.http() as http:
        for _ in range(SESSIONS):
            device = registered(http)
            clients.enter_context(gateway.connected(device | {"profile": device["profile"] + IDLE})).comes_up(60)
        grown = sum(memory_mib(pid, "VmRSS") for pid in gateway.children()) - before
        show(f"{SESSIONS} sessions: OpenVPN grew by {1024 * grown / SESSIONS:.0f} KiB for each")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_connecting_and_throughput(gateway: Gateway, transport: str) -> None:
    world = gateway.world
    with world.http() as http, world.new_client(world.neighbour) as native:
        device = registered(http)
        others = [line for line in device["profile"].splitlines() if not line.startswith("remote ")]
        port = {"udp": UDP, "tcp": TCP}[transport]
        profile = "\n".join([*others, f"remote {LAN_GATEWAY} {port} {transport}"]) + "\n"
        times = []
        for _ in range(CONNECTS):
            start = time.monotonic()
            with gateway.connected({"profile": profile}) as client:
                client.comes_up()
                times.append(time.monotonic() - start)
        native.configure(world.register(native.keys.public))
        rates: dict[str, list[float]] = {"wireguard": [], "openvpn": []}
        with gateway.connected({"profile": profile}) as client:
            client.comes_up()
            for _ in range(ROUNDS):
                rates["wireguard"].append(megabits(world.far, native.namespace))
                rates["openvpn"].append(megabits(world.far, client.namespace))
    wireguard, openvpn = (statistics.median(rates[name]) for name in ("wireguard", "openvpn"))
    show(
        f"OpenVPN over {transport}: connected in {statistics.median(times):.2f} s (longest {max(times):.2f} s); "
        f"{openvpn:.0f} Mbit/s against {wireguard:.0f} of WireGuard: {openvpn / wireguard:.2f}"
    )


def registered(http: httpx.Client) -> dict[str, str]:
    answer = http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})
    answer.raise_for_status()
    return dict(answer.json())


def megabits(server: Namespace, client: Namespace) -> float:
    """One TCP stream from the client for five seconds."""
    process = server.start("iperf3", "--server", "--one-off")
    time.sleep(0.5)
    told = json.loads(client.run("iperf3", "--client", FAR_4, "--time", "5", "--json"))
    process.wait(10)
    return float(told["end"]["sum_received"]["bits_per_second"]) / 1e6
