"""The lab's own life: killed, interrupted, ended. Each test leaves it running, as it found it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import paths
from lab.cluster import node
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.processes import cgroups
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack

pytestmark = pytest.mark.timeout(600)

LAB = (sys.executable, "-m", "lab")
MARK = b"meshgate-lab"


def lab(*arguments: str) -> None:
    done = subprocess.run([*LAB, *arguments], cwd=paths.REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def outputs() -> dict[str, object]:
    return Stack(pulumi_host.find()).outputs()


def processes_of_the_lab() -> list[str]:
    """Command lines that name the lab's state, or whose network namespace is the lab's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if MARK in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def traces() -> dict[str, object]:
    """Everything that a running lab adds to a machine."""
    links = json.loads(subprocess.run(["ip", "-json", "link"], capture_output=True, check=True).stdout)
    return {
        "state": paths.STATE.exists(),
        "processes": processes_of_the_lab(),
        "namespaces": topology.namespaces(),
        "interfaces": [link["ifname"] for link in links if link["ifname"].startswith("mg-")],
        "mounts": [line for line in Path("/proc/mounts").read_text().splitlines() if "meshgate-lab" in line],
        "control groups": [str(group) for group in cgroups.MOUNT.glob(f"**/{cgroups.NAME}*")],
    }


def test_down_leaves_nothing_and_the_machine_as_it_was() -> None:
    settings = {name: Path("/proc/sys", name).read_text() for name in node.KERNEL_SETTINGS}
    forwarding = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    assert traces()["processes"]
    lab("down")
    try:
        assert traces() == {
            "state": False,
            "processes": [],
            "namespaces": [],
            "interfaces": [],
            "mounts": [],
            "control groups": [],
        }
        assert {name: Path("/proc/sys", name).read_text() for name in node.KERNEL_SETTINGS} == settings
        assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == forwarding
        lab("down")
    finally:
        lab("up")


def test_a_killed_node_comes_back_with_the_same_identities() -> None:
    before = outputs()
    process = node.DAEMON.process()
    assert process is not None
    process.kill()
    assert not node.running()
    lab("up")
    assert outputs() == before


@pytest.mark.parametrize(
    ("seconds", "ending"), [(3, signal.SIGINT), (6, signal.SIGTERM), (12, signal.SIGINT), (20, signal.SIGTERM)]
)
def test_an_interrupted_up_goes_on(seconds: float, ending: signal.Signals) -> None:
    run = subprocess.Popen(
        [*LAB, "up", "--fresh"], cwd=paths.REPOSITORY, stderr=subprocess.PIPE, start_new_session=True
    )
    with run:
        try:
            run.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(run.pid, ending)  # the whole group, as a terminal's Ctrl-C does
        run.communicate()
    assert run.returncode in {0, 130}
    lab("up")
    assert outputs()["server_public_key"]


def test_down_ends_clients_too() -> None:
    key = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
    config = clients.Config(
        private_key=key,
        addresses=("10.77.255.1/32",),
        server_public_key=str(outputs()["server_public_key"]),
        endpoint=str(outputs()["server_endpoint"]),
        allowed_ips=("10.77.0.0/16",),
    )
    client = clients.connect("left-behind", config)
    lab("down")
    try:
        assert client.host.namespace not in topology.namespaces()
        assert not processes_of_the_lab()
    finally:
        lab("up")
