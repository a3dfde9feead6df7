"""One TCP stream from a client to the Internet host, measured alike for each gateway that is compared."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.network import topology
from lab.network.sandbox import in_network
from lab.network.tunnel_client import TunnelClient
from lab.processes import cgroups


@contextmanager
def serving() -> Iterator[None]:
    """Let the Internet host answer iperf3."""
    server = subprocess.Popen(
        [*in_network(topology.INTERNET), "iperf3", "--server"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def rate(client: TunnelClient) -> float:
    """Gb/s of one TCP stream for five seconds."""
    report: dict[str, Any] = json.loads(client.run(["iperf3", "-J", "-t", "5", "-c", topology.INTERNET_IPV4]))
    return float(report["end"]["sum_received"]["bits_per_second"]) / 1e9


def weigh_as_the_pod(interface: str) -> None:
    """Move an interface's wireguard-go into the CPU group of the pod's: both weigh the same when the cores are full."""
    other, ours = _wireguard_go(interface), _wireguard_go("wg0", inside=cgroups.NAME)
    for line in Path(f"/proc/{ours}/cgroup").read_text().splitlines():
        _, controllers, group = line.split(":", 2)
        if "cpu" in controllers.split(","):
            directory = cgroups.MOUNT / controllers.split(",")[0]
            (directory / group.lstrip("/") / "cgroup.procs").write_text(str(other))


def _wireguard_go(interface: str, inside: str = "") -> int:
    """The process id of the wireguard-go that holds an interface, in a control group of that name."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().decode().split("\0")
            groups = (entry / "cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if arguments[0].endswith("wireguard-go") and interface in arguments and inside in groups:
            return int(entry.name)
    raise LookupError(f"no wireguard-go holds {interface}")
