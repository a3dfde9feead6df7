"""OpenVPN beside WireGuard at one gateway: registration, memory, connecting and throughput, side by side in one run."""

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lab.tools import go_builds, pinned_tools
from tests.contract.agent.openvpn_gateway import TCP, UDP, Gateway
from tests.contract.agent.world import LAN_GATEWAY, MESH_4, World
from tests.deadlines import wait_for
from tests.pings import pinging
from tests.prove import ways
from tests.prove.capacity import memory_mib
from tests.prove.figures import show

pytestmark = pytest.mark.timeout(900)

IDLE = "\nroute-noexec\nifconfig-noexec\n"
"""A client that only stands there."""
UP = "Initialization Sequence Completed"
BACK_S = 90
"""Nothing but its own timer of 60 s tells a client, which then pauses for 10 s."""


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
    ways.register_a_thousand(gateway.world, "openvpn")


def test_sessions(gateway: Gateway) -> None:
    before = sum(memory_mib(pid, "VmRSS") for pid in gateway.children())
    with ExitStack() as clients:
        for _ in range(ways.SESSIONS):
            profile = gateway.register()["profile"] + IDLE
            clients.enter_context(gateway.connected({"profile": profile})).comes_up(60)
        grown = sum(memory_mib(pid, "VmRSS") for pid in gateway.children()) - before
        show(f"{ways.SESSIONS} sessions: OpenVPN grew by {1024 * grown / ways.SESSIONS:.0f} KiB for each")


def test_a_killed_openvpn(gateway: Gateway) -> None:
    with gateway.connected(gateway.register()) as client:
        client.comes_up()
        with pinging(client.namespace.inside, MESH_4) as pings:
            for pid in gateway.children():
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda: client.says(UP) == 2, "the client", BACK_S, log=client.log)
            wait_for(lambda: client.reaches(MESH_4), "its packets", BACK_S, log=client.log)
        show(f"OpenVPN is killed: a client hears nothing for {pings.longest_gap_s:.1f} s")


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_connecting_and_throughput(gateway: Gateway, transport: str) -> None:
    world = gateway.world
    with world.new_client(world.neighbour) as native:
        others = [line for line in gateway.register()["profile"].splitlines() if not line.startswith("remote ")]
        port = {"udp": UDP, "tcp": TCP}[transport]
        profile = "\n".join([*others, f"remote {LAN_GATEWAY} {port} {transport}"]) + "\n"
        times = []
        for _ in range(ways.CONNECTS):
            start = time.monotonic()
            with gateway.connected({"profile": profile}) as client:
                client.comes_up()
                times.append(time.monotonic() - start)
        show(f"OpenVPN over {transport}: connected in {statistics.median(times):.2f} s, longest {max(times):.2f} s")
        native.configure(world.register(native.keys.public))
        with gateway.connected({"profile": profile}) as client:
            client.comes_up()
            ways.compare_rates(world, f"OpenVPN over {transport}", client.namespace, native.namespace)
