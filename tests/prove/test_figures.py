"""The figures of docs/figures.md: measured side by side where they are ratios, and printed, not judged by the clock."""

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra import curve25519
from lab.cluster import kube
from lab.mesh import june_app
from lab.mesh.june import URL as ORCHESTRATOR
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.network.sandbox import in_network
from lab.network.wireguard_client import INTERFACE, Client, Config
from lab.pulumi.stack import Stack
from tests.e2e import lab_world
from tests.prove import throughput
from tests.prove.alternating import medians
from tests.prove.bare_gateway import MTU, bare_gateway
from tests.prove.empty_program import empty_program
from tests.prove.figures import show

pytestmark = pytest.mark.timeout(900)

ROUNDS = 3


def test_a_preview_without_changes_against_an_empty_program(stack: Stack, tmp_path: Path) -> None:
    """Here Headscale is managed; test_many_gateways.py has an existing one."""
    with empty_program(tmp_path, stack.programs, {**os.environ, **stack.environment()}) as empty:
        ours, nothing = medians(lambda: stack.run("preview", "--expect-no-changes"), empty, ROUNDS)
    show(
        f"no-op preview: {ours:.2f} s, empty program with the same plugins: {nothing:.2f} s, ratio {ours / nothing:.2f}"
    )


def test_registering_at_the_peer_api(stack: Stack) -> None:
    show(_at_the_peer_api().strip())


def test_a_peer_is_usable_when_its_registration_is_answered(stack: Stack) -> None:
    answer = june_app.register(ORCHESTRATOR, f"usable-{time.time_ns()}")
    config = Config.from_registration(answer)
    with clients.connected("usable", config) as client:
        times = [_usable_after(client, config) for _ in range(20)]
    # It is no user's any more: it was registered past the orchestrator.
    _at_the_peer_api("forget", answer["publicKey"])
    show(
        f"answer of a registration to the first answered ping, commands included: "
        f"median {statistics.median(times) * 1000:.0f} ms, worst {max(times) * 1000:.0f} ms"
    )


def test_throughput_against_bare_wireguard_go(stack: Stack, tmp_path: Path) -> None:
    answer = june_app.register(ORCHESTRATOR, f"throughput-{time.time_ns()}")
    config = replace(Config.from_registration(answer), mtu=MTU)
    try:
        with (
            throughput.serving(),
            bare_gateway(tmp_path) as bare_config,
            clients.connected("gateway", config) as through_gateway,
            clients.connected("bare", bare_config) as through_bare,
        ):
            rates = [(throughput.rate(through_gateway), throughput.rate(through_bare)) for _ in range(ROUNDS)]
    finally:
        lab_world.unregister(answer["publicKey"])
    ours, bare = (statistics.median(column) for column in zip(*rates, strict=True))
    show(f"one TCP stream to the Internet host: {ours:.2f} Gb/s, bare {bare:.2f} Gb/s, ratio {ours / bare:.2f}")


def _usable_after(client: Client, config: Config) -> float:
    """Register the client's key anew, and ping as soon as that is answered."""
    public_key = curve25519.public_key(config.private_key)
    # Without a peer the client cannot dial too early: it would not dial again within the next five seconds.
    client.set_peer("peer", config.server_public_key, "remove")
    address = json.loads(_at_the_peer_api("anew", public_key))[0]
    start = time.monotonic()
    client.run(["ip", "address", "replace", address, "dev", INTERFACE])
    client.set_peer("peer", config.server_public_key, "endpoint", config.endpoint, "allowed-ips", "0.0.0.0/0,::/0")
    client.run(["ping", "-n", "-c", "1", "-W", "1", "-I", address.split("/")[0], topology.INTERNET_IPV4])
    took = time.monotonic() - start
    client.run(["ip", "address", "del", address, "dev", INTERFACE])
    return took


def _at_the_peer_api(*arguments: str) -> str:
    """Run register_load.py where the cluster's Services are reached: on the node."""
    service = json.loads(
        kube.kubectl("get", "svc", "-n", lab_world.NAMESPACE, "-o", "json", f"{lab_world.GATEWAY}-peers")
    )
    url = f"http://{service['spec']['clusterIP']}:8080"
    token = kube.secret_value(lab_world.NAMESPACE, lab_world.GATEWAY, "admin-token")
    program = str(Path(__file__).with_name("register_load.py"))
    command = [*in_network(topology.NODE), sys.executable, program, url, *arguments]
    return subprocess.run(command, input=token, text=True, capture_output=True, check=True).stdout
