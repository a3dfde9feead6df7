"""What a gateway holds: a real agent and a real wireguard-go with many devices, in network namespaces of their own.

`python -m tests.prove.capacity 100 10000 50000` prints the table (as root; no lab is needed). The devices are put into
the store before the agent starts. One of them is a real client; the others never speak.
"""

import base64
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import httpx

from gateway.agent.probes import SCRAPE_IS_GOOD_FOR_S
from gateway.agent.stores import files
from gateway.agent.stores.sqlite import SqliteStore
from lab.tools import go_builds, pinned_tools
from tests.contract.agent.world import FAR_4, Client, World
from tests.deadlines import wait_for

COUNTS = (100, 10_000, 50_000)
NETWORKS = "10.80.0.0/15,fd77::/64"
REGISTRATIONS = 1000
ROAMS = 5
IDLE_S = 30
STANDS = "stands with"
"""The agent's word, in its log, that all peers are in."""
AS_IT_STARTS_S = 120


@dataclass(frozen=True)
class Capacity:
    """The figures of one number of devices: milliseconds, seconds, per cent of a core, MiB."""

    devices: int
    start_to_ready_s: float
    register_p50_ms: float
    register_p99_ms: float
    all_back_s: float
    active_back_s: float
    roamed_known_s: float
    """The longest of some."""
    idle_agent_percent: float
    """With the programs that it starts."""
    idle_wireguard_percent: float
    agent_mib: int
    agent_peak_mib: int
    wireguard_mib: int
    metrics_ms: float
    page_ms: float
    """1,000 devices."""
    unready: int
    """How often /readyz said no, asked twice a second while nothing was wrong."""


def random_key() -> str:
    """As good as a device's key as long as nobody speaks."""
    return base64.b64encode(os.urandom(32)).decode()


def fill(store: Path, count: int) -> None:
    """Devices of last week, in one transaction."""
    SqliteStore(store).close()
    with closing(sqlite3.connect(store)) as database, database:
        database.executemany(
            "INSERT INTO peers (number, public_key, created_at, endpoint, last_handshake) VALUES (?, ?, ?, ?, ?)",
            [
                (number, random_key(), 1_700_000_000, f"192.0.2.{number % 250}:{1024 + number}", 1_700_000_000)
                for number in range(2, count + 2)
            ],
        )
        database.execute("UPDATE pool SET newest = ?", (count + 1,))


class Gateway:
    """A world with a client in it, and an agent whose log is kept."""

    def __init__(self, directory: Path, wireguard_go: str, count: int) -> None:
        self.count = count
        self.world = World(directory, wireguard_go)
        self.world.environment["MESHGATE_CLIENT_NETWORKS"] = NETWORKS
        self.log = directory / "agent.log"
        (directory / "state").mkdir()
        fill(directory / "state" / files.SQLITE, count)

    def start_agent(self) -> float:
        """Start the agent; seconds until it is ready."""
        start = time.monotonic()
        self.world.agent = self.world.gateway.start(
            *("sh", "-c", f"exec {sys.executable} -m gateway.agent 2>>{self.log}"), env=self.world.agent_environment()
        )
        self.world.wait_until_ready(within=AS_IT_STARTS_S)
        return time.monotonic() - start

    def times_all_in(self) -> int:
        """How often all peers were brought in."""
        return self.log.read_text().count(STANDS) if self.log.exists() else 0

    def back_after_kill(self, client: Client) -> tuple[float, float]:
        """Kill wireguard-go: seconds until all peers are back, and the longest time that the client heard nothing."""
        before = self.times_all_in()
        with client.pinging(FAR_4, 0.02) as pings:
            time.sleep(1)
            start = time.monotonic()
            self.world.kill_wireguard()
            wait_for(lambda: self.times_all_in() > before, "all peers", within=AS_IT_STARTS_S)
            back = time.monotonic() - start
            time.sleep(1)
        return back, pings.longest_gap_s


def process_of_interface(world: World) -> int:
    """The process id of wireguard-go."""
    assert world.holder is not None
    (child,) = Path(f"/proc/{world.holder.pid}/task/{world.holder.pid}/children").read_text().split()
    return int(child)


def cpu_s(pid: int) -> float:
    """The seconds that a process has computed, and those of its children that have ended."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, what: str) -> int:
    """VmRSS or VmHWM of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) // 1024


def seconds(call: Callable[[], httpx.Response]) -> float:
    """How long a request takes."""
    start = time.perf_counter()
    call().raise_for_status()
    return time.perf_counter() - start


def scrape_s(world: World) -> float:
    """How long a scrape takes that is not answered from the last one's page."""
    time.sleep(SCRAPE_IS_GOOD_FOR_S)
    return seconds(partial(world.probe, "/metrics"))


def register_ms(http: httpx.Client) -> tuple[float, float]:
    """p50 and p99 of registrations, which are taken back."""
    keys = [random_key() for _ in range(REGISTRATIONS)]
    times = [seconds(partial(http.post, "/v1/peers", json={"public_key": key})) for key in keys]
    for key in keys:
        http.delete(f"/v1/peers/{key}").raise_for_status()
    centiles = statistics.quantiles(times, n=100)
    return centiles[49] * 1000, centiles[98] * 1000


def roamed_known_s(http: httpx.Client, client: Client) -> float:
    """The client gets another port: seconds until the store knows; the longest of some."""
    longest = 0.0
    for port in range(42_000, 42_000 + ROAMS):
        time.sleep(4)
        client.namespace.run("wg", "set", client.interface, "listen-port", str(port))
        assert client.reaches(FAR_4)
        longest = max(longest, wait_for(partial(known_at, http, client, port), "the endpoint", within=60))
    return longest


def known_at(http: httpx.Client, client: Client, port: int) -> bool:
    """Whether the store has this port of the client's."""
    return str(http.get(f"/v1/peers/{client.keys.public}").json()["last_endpoint"]).endswith(f":{port}")


def idle(gateway: Gateway) -> tuple[float, float, int]:
    """Per cent of a core of agent and wireguard-go while nothing happens, and how often /readyz said no."""
    assert gateway.world.agent is not None
    pids = gateway.world.agent.pid, process_of_interface(gateway.world)
    before, start, unready = [cpu_s(pid) for pid in pids], time.monotonic(), 0
    while (passed := time.monotonic() - start) < IDLE_S:
        unready += gateway.world.readiness()[0] != httpx.codes.OK
        time.sleep(0.5)
    agent, wireguard = (100 * (cpu_s(pid) - earlier) / passed for pid, earlier in zip(pids, before, strict=True))
    return agent, wireguard, unready


def measure(directory: Path, wireguard_go: str, count: int) -> Capacity:
    """The figures of one number of devices."""
    gateway = Gateway(directory, wireguard_go, count)
    world = gateway.world
    try:
        world.start_interface()
        gateway.start_agent()
        wait_for(lambda: gateway.times_all_in() > 0, "all peers", within=AS_IT_STARTS_S)
        world.stop_agent()
        ready = gateway.start_agent()
        with world.http() as http, world.new_client() as client:
            client.configure(http.post("/v1/peers", json={"public_key": client.keys.public}).json())
            assert client.reaches(FAR_4)
            assert world.agent is not None
            p50, p99 = register_ms(http)
            roamed = roamed_known_s(http, client)
            agent_percent, wireguard_percent, unready = idle(gateway)
            metrics = statistics.median(scrape_s(world) for _ in range(5))
            with world.http() as http:  # the agent has ended the idle one
                page = statistics.median(seconds(partial(http.get, "/v1/peers?limit=1000")) for _ in range(5))
            wireguard_mib = memory_mib(process_of_interface(world), "VmRSS")
            all_back, active_back = gateway.back_after_kill(client)
            return Capacity(
                devices=count,
                start_to_ready_s=ready,
                register_p50_ms=p50,
                register_p99_ms=p99,
                all_back_s=all_back,
                active_back_s=active_back,
                roamed_known_s=roamed,
                idle_agent_percent=agent_percent,
                idle_wireguard_percent=wireguard_percent,
                agent_mib=memory_mib(world.agent.pid, "VmRSS"),
                agent_peak_mib=memory_mib(world.agent.pid, "VmHWM"),
                wireguard_mib=wireguard_mib,
                metrics_ms=metrics * 1000,
                page_ms=page * 1000,
                unready=unready,
            )
    finally:
        world.delete()


def table(measured: Mapping[int, Capacity]) -> str:
    """One line a figure, one column a number of devices."""
    lines = []
    for each in fields(Capacity):
        values = [getattr(capacity, each.name) for capacity in measured.values()]
        shown = [f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" for value in values]
        lines.append(f"{each.name:24}" + "".join(f"{value:>12}" for value in shown))
    return "\n".join(lines)


def measured_table(counts: list[int]) -> str:
    """The table of these numbers of devices."""
    wireguard_go = str(go_builds.resolve(pinned_tools.WIREGUARD_GO))
    measured = {}
    for count in counts:
        with tempfile.TemporaryDirectory() as directory:
            measured[count] = measure(Path(directory), wireguard_go, count)
    return table(measured)


if __name__ == "__main__":
    print(measured_table([int(word) for word in sys.argv[1:]] or list(COUNTS)))  # noqa: T201
