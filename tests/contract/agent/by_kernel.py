"""A gateway whose kernel has ESP and WireGuard: tests/prove/test_kernels_own.py runs this by such a kernel."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.agent.protocols.ipsec.kernel_esp import IF_ID
from tests.contract.agent.ipsec_gateway import Gateway, made_gateway
from tests.contract.agent.test_traffic import serving, talk
from tests.contract.agent.world import FAR_4, FAR_6, MESH_4, MESH_6, World
from tests.deadlines import wait_for

FIVE_MEGABYTES = 5_000_000


@pytest.fixture
def gateway(tmp_path: Path, wireguard_go: str) -> Iterator[Gateway]:
    with made_gateway(tmp_path, wireguard_go) as gateway:
        yield gateway


def states(gateway: Gateway) -> int:
    """How many ESP associations of ours the gateway's kernel has: two for each session."""
    return gateway.world.gateway.run("ip", "xfrm", "state").count(f"if_id {IF_ID:#x}")


def test_a_devices_packets_pass_by_the_kernels_esp_until_it_is_revoked(gateway: Gateway) -> None:
    gateway.start()
    device, other = gateway.register(), gateway.register()
    with serving(gateway.world), gateway.connected(device) as client:
        client.comes_up(within=60)
        assert states(gateway) == 2
        for address in (MESH_4, MESH_6, FAR_4, FAR_6):
            assert len(talk(client.namespace, address, f"GET {FIVE_MEGABYTES}")) > FIVE_MEGABYTES, address
            assert talk(client.namespace, address, f"PUT {FIVE_MEGABYTES}", bytes(FIVE_MEGABYTES)), address
        gateway.revoke(device)
        assert states(gateway) == 0
        assert not client.reaches(FAR_4)
    with gateway.connected(other) as client:
        client.comes_up(within=60)
        assert client.reaches(MESH_4)
    gateway.stop_process()
    assert "ipsec0" not in gateway.world.gateway.run("ip", "link"), "nothing is left"
    assert states(gateway) == 0


def test_without_charon_nothing_passes_and_a_device_is_revoked_all_the_same(gateway: Gateway) -> None:
    """ESP comes in by charon's port, and the kernel keeps the rest of a session."""
    gateway.start()
    device, other = gateway.register(), gateway.register()
    with gateway.connected(device) as client, gateway.connected(other, gateway.world.neighbour) as second:
        client.comes_up(within=60)
        second.comes_up(within=60)
        charon = gateway.charon()
        assert gateway.process is not None
        for one in (gateway.process.pid, charon):
            os.kill(one, signal.SIGKILL)
        assert not client.reaches(MESH_4)
        policies = gateway.world.gateway.run("ip", "xfrm", "policy").count(f"if_id {IF_ID:#x}")
        gateway.revoke(device)
        left = gateway.world.gateway.run("ip", "xfrm", "policy").count(f"if_id {IF_ID:#x}")
        assert 0 < left < policies, "those of the other device"
    gateway.start_process()
    wait_for(lambda: states(gateway) == 0, "the end of all sessions", within=60)


def test_a_charon_that_is_killed_leaves_no_session(gateway: Gateway) -> None:
    gateway.start()
    with gateway.connected(gateway.register()) as client:
        client.comes_up(within=60)
        client.process.kill()
    assert states(gateway) == 2
    first = gateway.charon()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: states(gateway) == 0, "the end of the session", within=30)


def test_a_peer_passes_by_the_kernels_wireguard(fresh_world: World) -> None:
    fresh_world.environment["MESHGATE_WIREGUARD"] = "kernel"
    fresh_world.start()
    with fresh_world.new_client() as client:
        client.configure(fresh_world.register(client.keys.public))
        assert client.reaches(MESH_4)
        assert client.reaches(FAR_6)
