"""IPsec beside WireGuard at one gateway: registration, memory, connecting and throughput, side by side in one run."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.network import strongswan
from lab.tools import go_builds, pinned_tools
from tests.contract.agent.ipsec_gateway import Gateway, IpSecClient
from tests.contract.agent.world import World
from tests.prove import ways
from tests.prove.capacity import memory_mib
from tests.prove.figures import show

pytestmark = pytest.mark.timeout(900)

EVERYTHING, GATEWAY = "remote_ts = 0.0.0.0/0, ::/0", "198.51.100.1/32"
"""What a client sends through the tunnel: one that only stands there sends what goes to the gateway itself."""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    world = World(tmp_path, str(go_builds.resolve(pinned_tools.WIREGUARD_GO)))
    world.environment["MESHGATE_CLIENT_NETWORKS"] = "10.77.0.0/16,fd77::/64"
    gateway = Gateway(world)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop_process()
        world.delete()


def test_a_thousand_devices(gateway: Gateway) -> None:
    connecting(gateway, "few devices")
    before = memory_mib(gateway.charon(), "VmRSS")
    ways.register_a_thousand(gateway.world, "ipsec")
    grown = memory_mib(gateway.charon(), "VmRSS") - before
    show(f"{ways.DEVICES} devices on the list: charon grew by {1024 * grown / ways.DEVICES:.0f} KiB for each")
    connecting(gateway, f"{ways.DEVICES} devices")
    gateway.world.stop_agent()
    start = time.monotonic()
    gateway.world.start_agent()
    gateway.world.wait_until_ready(60)
    show(f"an agent that starts has compared {ways.DEVICES} devices after {time.monotonic() - start:.1f} s")


def connecting(gateway: Gateway, among: str) -> None:
    """How long stock clients take from their first packet to a tunnel, by what they log."""
    times = []
    for _ in range(ways.CONNECTS):
        device = gateway.register()
        with gateway.connected(device) as client:
            client.comes_up()
            times.append(handshake_ms(client))
        gateway.revoke(device)
    show(f"connecting among {among}: {statistics.median(times):.0f} ms, longest {max(times):.0f} ms")


def handshake_ms(client: IpSecClient) -> float:
    lines = client.log.read_text().splitlines()
    first, *_, last = (line for line in lines if "initiating IKE_SA" in line or strongswan.UP in line)
    return (float(last.split()[0]) - float(first.split()[0])) * 1000


def test_sessions(gateway: Gateway) -> None:
    before = memory_mib(gateway.charon(), "VmRSS")
    with ExitStack() as clients:
        for _ in range(ways.SESSIONS):
            idle = gateway.register()["profile"].replace(EVERYTHING, f"remote_ts = {GATEWAY}")
            clients.enter_context(gateway.connected({"profile": idle})).comes_up(60)
        grown = memory_mib(gateway.charon(), "VmRSS") - before
        show(f"{ways.SESSIONS} sessions: charon grew by {1024 * grown / ways.SESSIONS:.0f} KiB for each")


def test_throughput(gateway: Gateway) -> None:
    world = gateway.world
    with world.new_client(world.neighbour) as native, gateway.connected(gateway.register()) as client:
        client.comes_up()
        native.configure(world.register(native.keys.public))
        ways.compare_rates(world, "IPsec", client.namespace, native.namespace)
