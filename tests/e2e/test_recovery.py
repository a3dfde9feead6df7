"""What clients notice when parts of the gateway die: seconds at most, and never a new config."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from infra.headscale.client import Headscale
from lab.cluster import kube
from lab.network import topology
from lab.network.wireguard_client import Client
from lab.pulumi.stack import Stack
from tests.e2e import life, world

Connect = Callable[[str], Client]

GATEWAYS_PEERS = (world.NAMESPACE, "service", f"{world.GATEWAY}-peers")


@pytest.mark.timeout(180)
def test_a_deleted_pod_is_back_within_seconds_with_the_same_identity(
    connect: Connect, headscale: Headscale, outputs: dict[str, Any]
) -> None:
    client = connect("survivor")
    assert world.passes(client, world.INTERNET[0], 5)
    before = world.node_named(headscale, world.GATEWAY)

    with world.longest_gap(client, topology.INTERNET_IPV4) as gap:
        time.sleep(2)
        kube.kubectl("delete", "pod", "-n", world.NAMESPACE, world.pod()["metadata"]["name"], "--wait=true")
        kube.kubectl("rollout", "status", "-n", world.NAMESPACE, f"deploy/{world.GATEWAY}", "--timeout=60s")
        world.seconds_until(lambda: world.passes(client, world.INTERNET[0], 0.3), deadline=30)
    print(f"\na deleted pod: the client was dark for {gap():.2f} s")  # noqa: T201 (the figure is the point)
    assert gap() < 5

    after = world.node_named(headscale, world.GATEWAY)
    assert (after.id, after.node_key, after.addresses) == (before.id, before.node_key, before.addresses)
    assert world.in_gateway("agent", "wg", "show", "wg0", "public-key").strip() == outputs["server_public_key"]


def test_an_agent_that_restarts_loses_no_packet(connect: Connect) -> None:
    client = connect("steady")
    assert world.passes(client, world.INTERNET[0], 5)
    restarts = _restarts("agent")
    with world.longest_gap(client, topology.INTERNET_IPV4) as gap:
        world.in_gateway("agent", "python3", "-c", f"import os; os.kill(1, {signal.SIGTERM.value})")
        world.seconds_until(lambda: _restarts("agent") == restarts + 1, deadline=30)
    assert gap() < 0.5
    kube.kubectl("rollout", "status", "-n", world.NAMESPACE, f"deploy/{world.GATEWAY}", "--timeout=30s")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("deleted", [("june-services", "deployment", "june-orchestrator"), GATEWAYS_PEERS])
def test_make_up_repairs_what_was_deleted_by_hand(
    deleted: tuple[str, str, str], stack: Stack, connect: Connect
) -> None:
    namespace, kind, name = deleted
    kube.kubectl("delete", kind, name, "-n", namespace, "--wait=true")
    said = life.make_up()
    assert "not set" not in said
    assert "Look for what was changed by hand" in said
    life.assert_whole(stack)
    assert world.passes(connect("after-repair"), world.INTERNET[0], 10)


@pytest.mark.timeout(120)
def test_make_up_of_an_unchanged_lab_refreshes_nothing(stack: Stack) -> None:
    life.make_up()
    started = time.monotonic()
    life.make_up()
    took = time.monotonic() - started
    print(f"\nmake up, alive and unchanged: {took:.1f} s")  # noqa: T201 (the figure is the point)
    assert "refresh" not in stack.log.read_text().lower()
    assert took < 10  # 5 on a machine that does nothing else


def _restarts(container: str) -> int:
    statuses = world.pod()["status"]["containerStatuses"]
    return int(next(status["restartCount"] for status in statuses if status["name"] == container))
