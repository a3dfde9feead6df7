"""The figures of docs/access.md: every way in on one gateway, in one run, each by its stock client."""

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.headscale.client import Headscale
from lab.cluster import kube
from lab.network import openvpn_client, tailscale_client, topology
from lab.network.sandbox import in_network
from lab.network.tunnel_client import TunnelClient
from lab.processes import cgroups
from lab.pulumi.stack import Stack
from tests.e2e import every_way, lab_world
from tests.pings import Pings, pinging
from tests.prove import throughput
from tests.prove.figures import show

pytestmark = pytest.mark.timeout(1800)

ROUNDS = 3
IDLE_S = 180
ASLEEP_S = 180
NOTICED_S = 30
"""Until whatever happened has reached everybody."""
WAIT_S = 150
"""Longer than any client waits before it tries again."""
NO_UDP = """
table inet blocked {
    chain in { type filter hook input priority 0; iifname "eth0" meta l4proto udp drop; }
    chain out { type filter hook output priority 0; oifname "eth0" meta l4proto udp drop; }
}
"""


@dataclass(frozen=True)
class Way:
    """One of the columns: its name, its client, and how long that took from the answer to the first ping."""

    name: str
    client: TunnelClient
    connecting_s: float


@pytest.fixture(scope="module")
def ways(stack: Stack) -> Iterator[Stack]:
    with every_way.running(stack) as ways:
        yield ways


@pytest.fixture(scope="module")
def columns(ways: Stack) -> Iterator[dict[str, Way]]:
    with lab_world.headscale() as headscale, ExitStack() as connected:
        yield {way.name: way for way in _connect(headscale, connected)}


def test_connecting(columns: Mapping[str, Way]) -> None:
    tell("from the answer to the first ping", {name: f"{way.connecting_s:.1f} s" for name, way in columns.items()})


def test_throughput_and_cpu(columns: Mapping[str, Way]) -> None:
    rates: dict[str, list[float]] = {name: [] for name in columns}
    burnt: dict[str, list[float]] = {name: [] for name in columns}
    with throughput.serving():
        for _ in range(ROUNDS):
            for name, way in columns.items():
                before = pod_cpu_seconds()
                rate = throughput.rate(way.client)
                rates[name].append(rate)
                burnt[name].append((pod_cpu_seconds() - before) / (rate * 5 / 8))
    reference = statistics.median(rates["wireguard"])
    medians = {name: statistics.median(each) for name, each in rates.items()}
    tell(
        "one TCP stream", {name: f"{rate * 1000:.0f} Mbit/s, {rate / reference:.2f}" for name, rate in medians.items()}
    )
    tell("the pod's CPU for a GB", {name: f"{statistics.median(each):.1f} s" for name, each in burnt.items()})


def test_idle(columns: Mapping[str, Way]) -> None:
    before = {name: traffic(way.client) for name, way in columns.items()}
    time.sleep(IDLE_S)
    after = {name: traffic(way.client) for name, way in columns.items()}
    an_hour = 3600 / IDLE_S
    told = {
        name: f"{(packets - before[name][0]) * an_hour:.0f} packets, {(size - before[name][1]) * an_hour / 1000:.0f} kB"
        for name, (packets, size) in after.items()
    }
    tell("an idle hour", told)


def test_another_address(columns: Mapping[str, Way]) -> None:
    def roam() -> None:
        for number, way in enumerate(columns.values(), 200):
            inside = ["ip", "-netns", way.client.host.namespace, "address"]
            subprocess.run([*inside, "del", f"{way.client.host.ipv4}/24", "dev", "eth0"], check=True)
            subprocess.run([*inside, "add", f"{topology.on_lan(number)[0]}/24", "dev", "eth0"], check=True)

    tell("another address", dark(columns, roam))


def test_asleep(columns: Mapping[str, Way]) -> None:
    for way in columns.values():
        signal_all(way.client, "STOP")
    time.sleep(ASLEEP_S)

    def wake() -> None:
        for way in columns.values():
            signal_all(way.client, "CONT")

    tell(f"asleep for {ASLEEP_S} s", dark(columns, wake, is_up=False))


def test_a_deleted_pod(columns: Mapping[str, Way]) -> None:
    delete = ("delete", "pod", "-n", every_way.NAMESPACE, "-l", f"app.kubernetes.io/instance={every_way.NAME}")
    tell("the gateway's pod is deleted", dark(columns, lambda: kube.kubectl(*delete, "--wait=false")))


def test_udp_is_blocked(columns: Mapping[str, Way]) -> None:
    def block() -> None:
        for way in columns.values():
            inside = in_network(way.client.host.namespace)
            subprocess.run([*inside, "nft", "-f", "-"], input=NO_UDP, text=True, check=True)

    tell("UDP is blocked from here on", dark(columns, block, never_back=("wireguard", "ipsec")))


def _connect(headscale: Headscale, connected: ExitStack) -> Iterator[Way]:
    """Each way's client; the mesh's takes the gateway as its exit node, OpenVPN has one more by TCP alone."""
    for name in (*every_way.EVERY, "openvpn-tcp"):
        access = name.removesuffix("-tcp")
        answer = every_way.register(name, access)
        start = time.monotonic()
        if name == "openvpn-tcp":
            profile = lab_world.by_tcp(answer["profile"])
            client: TunnelClient = connected.enter_context(openvpn_client.connected(name, profile))
        else:
            client = connected.enter_context(every_way.connected(name, access, answer))
        if isinstance(client, tailscale_client.TailscaleClient):
            client.tailscale("set", f"--exit-node={lab_world.node_named(headscale, every_way.GATEWAY).addresses[0]}")
        while not client.reaches(topology.INTERNET_IPV4):
            assert time.monotonic() < start + WAIT_S, name
        yield Way(name, client, time.monotonic() - start)


def dark(
    columns: Mapping[str, Way], happens: Callable[[], object], never_back: tuple[str, ...] = (), *, is_up: bool = True
) -> dict[str, str]:
    """How long each client got no answer when something happened to all of them."""
    with ExitStack() as all_pings:
        pings: dict[str, Pings] = {
            name: all_pings.enter_context(
                pinging(way.client.inside, topology.INTERNET_IPV4, is_up=is_up, comes_back=name not in never_back)
            )
            for name, way in columns.items()
        }
        happens()
        time.sleep(NOTICED_S)
        end = time.monotonic() + WAIT_S
        away = set(columns)
        while away and time.monotonic() < end:
            time.sleep(1)
            away -= {name for name in away if columns[name].client.reaches(topology.INTERNET_IPV4)}
    assert away == set(never_back)
    return {name: "not back" if name in away else f"{one.longest_gap_s:.1f} s" for name, one in pings.items()}


def tell(what: str, told: Mapping[str, str]) -> None:
    show(f"{what}: " + "; ".join(f"{name} {value}" for name, value in told.items()))


def traffic(client: TunnelClient) -> tuple[int, int]:
    """Packets and bytes that a client's own interface has sent and received."""
    (link,) = json.loads(client.run(["ip", "-json", "-statistics", "link", "show", "eth0"]))
    rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
    return rx["packets"] + tx["packets"], rx["bytes"] + tx["bytes"]


def signal_all(client: TunnelClient, signal: str) -> None:
    """Send a signal to all that runs where the client is."""
    found = subprocess.run(
        ["ip", "netns", "pids", client.host.namespace], check=True, capture_output=True, text=True
    ).stdout.split()
    subprocess.run(["kill", f"-{signal}", *found], check=True)


def pod_cpu_seconds() -> float:
    """What the gateway's pod has burnt so far."""
    pods = json.loads(
        kube.kubectl(
            *("get", "pods", "-n", every_way.NAMESPACE, "-o", "json"),
            *("-l", f"app.kubernetes.io/instance={every_way.NAME}"),
        )
    )
    uid = pods["items"][0]["metadata"]["uid"]
    for mount in (cgroups.MOUNT / "cpuacct", cgroups.MOUNT):
        for group in Path(mount, cgroups.NAME).rglob(f"*{uid}"):
            if (group / "cpuacct.usage").exists():
                return int((group / "cpuacct.usage").read_text()) / 1e9
            used = (group / "cpu.stat").read_text().split()
            return int(used[used.index("usage_usec") + 1]) / 1e6
    raise LookupError(f"no control group of pod {uid}")
