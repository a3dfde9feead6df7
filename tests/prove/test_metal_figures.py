"""The figures of bare metal in docs/figures.md: a playbook's runs, and the machine's throughput beside the pod's."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import paths
from lab.mesh import june_app
from lab.mesh.june import URL as ORCHESTRATOR
from lab.network import wireguard_client as clients
from lab.network.wireguard_client import Config
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, metal_world
from tests.e2e.metal_world import MetalGateway, Play
from tests.prove import throughput
from tests.prove.bare_gateway import MTU
from tests.prove.figures import show

pytestmark = pytest.mark.timeout(400)

ROUNDS = 5


@pytest.fixture
def gateway(stack: Stack, tmp_path: Path) -> Iterator[MetalGateway]:
    """A machine that is no gateway yet."""
    with metal_world.machine_with_tailscale("edge") as machine:
        yield MetalGateway(machine, tmp_path, {"mtu": MTU})


def test_a_playbook_and_the_machine_against_the_pod(gateway: MetalGateway) -> None:
    """In one run, as the rounds of both gateways alternate.

    With full cores a pod weighs less than a machine's processes: it has the CPU shares that it asked for. So both
    wireguard-go run in the pod's CPU group, as bare wireguard-go does in test_figures.py. What else a machine would
    gain is not measured.
    """
    seconds, played = _timed(gateway)
    show(f"playbook from nothing: {seconds:.1f} s, {played.tasks} tasks, {len(played.changed)} changed")
    seconds, played = _timed(gateway)
    assert played.changed == []
    show(f"playbook without changes: {seconds:.1f} s, {played.tasks} tasks; Ansible's forks: {_forks()}")

    answer = june_app.register(ORCHESTRATOR, f"throughput-{time.time_ns()}")
    config = replace(Config.from_registration(answer), mtu=MTU)
    try:
        with (
            throughput.serving(),
            clients.connected("pod", config) as through_pod,
            gateway.client("metal") as through_metal,
        ):
            throughput.weigh_as_the_pod("meshgate0")
            rates = [(throughput.rate(through_pod), throughput.rate(through_metal)) for _ in range(ROUNDS)]
    finally:
        lab_world.unregister(answer["publicKey"])
    pod, metal = (statistics.median(column) for column in zip(*rates, strict=True))
    show(f"one TCP stream to the Internet host: metal {metal:.2f} Gb/s, pod {pod:.2f} Gb/s, ratio {metal / pod:.2f}")


def _timed(gateway: MetalGateway) -> tuple[float, Play]:
    """Make the machine a gateway; the seconds are those that a user waits."""
    start = time.monotonic()
    played = gateway.play("gateway")
    return time.monotonic() - start, played


def _forks() -> int:
    """On how many machines Ansible works at a time, by the settings of this repository."""
    command = [str(Path(sys.executable).with_name("ansible-config")), "dump", "--format=json"]
    dumped = subprocess.run(
        command, cwd=paths.REPOSITORY, env=metal_world.environment(), check=True, capture_output=True, text=True
    ).stdout
    return next(int(setting["value"]) for setting in json.loads(dumped) if setting.get("name") == "DEFAULT_FORKS")
