"""What clients notice when parts of the gateway die: seconds at most, and never a new config."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from console.errors import StepError
from gateway.headscale.client import Headscale
from lab.cluster import kube
from lab.network import topology
from lab.network.wireguard_client import Client
from lab.pulumi.stack import Stack
from tests.deadlines import wait_for
from tests.e2e import lab_world, life
from tests.pings import pinging

Connect = Callable[[str], Client]
Register = Callable[[str], dict[str, Any]]

GATEWAYS_PEERS = (lab_world.NAMESPACE, "service", f"{lab_world.GATEWAY}-peers")


@pytest.mark.quiet
@pytest.mark.timeout(180)
def test_a_deleted_pod_is_back_within_seconds_with_the_same_identity(
    connect: Connect, register: Register, headscale: Headscale, outputs: dict[str, Any]
) -> None:
    client = connect("survivor")
    assert lab_world.passes(client, lab_world.INTERNET[0], 5)
    before = lab_world.node_named(headscale, lab_world.GATEWAY)

    with pinging(client.inside, topology.INTERNET_IPV4) as pings:
        time.sleep(2)
        kube.kubectl("delete", "pod", "-n", lab_world.NAMESPACE, lab_world.pod()["metadata"]["name"], "--wait=true")
        kube.kubectl("rollout", "status", "-n", lab_world.NAMESPACE, f"deploy/{lab_world.GATEWAY}", "--timeout=60s")
        wait_for(lambda: lab_world.passes(client, lab_world.INTERNET[0], 0.3), "traffic", within=30)
    print(f"\na deleted pod: the client was dark for {pings.longest_gap_s:.2f} s")  # noqa: T201 (the figure is the point)
    assert pings.longest_gap_s < 5

    after = lab_world.node_named(headscale, lab_world.GATEWAY)
    assert (after.id, after.node_key, after.addresses) == (before.id, before.node_key, before.addresses)
    assert lab_world.in_gateway("agent", "wg", "show", "wg0", "public-key").strip() == outputs["server_public_key"]
    # kube-proxy leads to the new pod a moment after that is ready; till then the app is told to try again.
    wait_for(lambda: _comes_in(register, "newcomer"), "a new device", within=10)


@pytest.mark.quiet
def test_an_agent_that_restarts_loses_no_packet(connect: Connect) -> None:
    client = connect("steady")
    assert lab_world.passes(client, lab_world.INTERNET[0], 5)
    restarts = _restarts("agent")
    with pinging(client.inside, topology.INTERNET_IPV4) as pings:
        lab_world.in_gateway("agent", "python3", "-c", f"import os; os.kill(1, {signal.SIGTERM.value})")
        wait_for(lambda: _restarts("agent") == restarts + 1, "the agent's restart", within=30)
    assert pings.longest_gap_s < 0.5
    kube.kubectl("rollout", "status", "-n", lab_world.NAMESPACE, f"deploy/{lab_world.GATEWAY}", "--timeout=30s")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("deleted", [("june-services", "deployment", "june-orchestrator"), GATEWAYS_PEERS])
def test_make_up_repairs_what_was_deleted_by_hand(
    deleted: tuple[str, str, str], stack: Stack, connect: Connect
) -> None:
    namespace, kind, name = deleted
    kube.kubectl("delete", kind, name, "-n", namespace, "--wait=true")
    said = life.make_up()
    assert "not set" not in said
    assert "✓ Look for what has changed since the last `pulumi up`" in said
    life.assert_whole(stack)
    assert lab_world.passes(connect("after-repair"), lab_world.INTERNET[0], 10)


@pytest.mark.timeout(120)
def test_make_up_of_an_unchanged_lab_runs_no_pulumi(stack: Stack) -> None:
    life.make_up()
    ran = stack.log.stat().st_mtime_ns
    life.make_up()
    assert stack.log.stat().st_mtime_ns == ran


def _comes_in(register: Register, name: str) -> bool:
    try:
        register(name)
    except StepError:
        return False
    return True


def _restarts(container: str) -> int:
    statuses = lab_world.pod()["status"]["containerStatuses"]
    return int(next(status["restartCount"] for status in statuses if status["name"] == container))
