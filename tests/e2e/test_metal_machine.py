"""The lab's bare-metal machine is what a user's server is: it boots, keeps its disk, and is reached by SSH alone."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from console.errors import StepError
from lab.cluster.startup import PKI
from lab.machines import metal
from lab.machines.metal import Machine
from lab.mesh import peer
from lab.network import topology
from lab.processes import cgroups
from tests.e2e import lab_world

FETCH = """
import ssl, sys, urllib.request
trust = ssl.create_default_context(cadata=sys.stdin.read())
print(urllib.request.urlopen(sys.argv[1], timeout=5, context=trust).read().decode())
"""
TUNNEL = """
import fcntl, struct
TUNSETIFF, IFF_TUN = 0x400454CA, 1
fcntl.ioctl(open("/dev/net/tun", "rb+", buffering=0), TUNSETIFF, struct.pack("16sH22x", b"probe0", IFF_TUN))
"""
SERVICE = """
[Service]
Type=oneshot
DynamicUser=yes
ProtectSystem=strict
RootDirectory=/srv/root
MountAPIVFS=yes
BindReadOnlyPaths=/usr /lib /lib64 /srv/tunnel.py
BindPaths=/dev/net/tun
StateDirectory=probe
AmbientCapabilities=CAP_NET_ADMIN
CapabilityBoundingSet=CAP_NET_ADMIN
ExecStart=/usr/bin/python3 /srv/tunnel.py
ExecStart=/usr/sbin/nft add table inet probe
ExecStart=/usr/bin/touch /var/lib/probe/written
"""
HELD = """
from lab.machines import metal
with metal.machine("third") as machine:
    machine.ssh("touch", "/srv/old")
    print("up", flush=True)
    input()
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with metal.machine("edge") as machine:
        yield machine


def write(machine: Machine, file: str, content: str) -> None:
    machine.ssh("tee", file, stdin=content)


def fetch(machine: Machine, url: str) -> str:
    return machine.ssh("python3", "-c", FETCH, url, stdin=PKI.ca.read_text())


def test_systemd_is_its_first_process_and_every_unit_starts(machine: Machine) -> None:
    assert machine.ssh("cat", "/proc/1/comm") == "systemd\n"
    assert machine.ssh("systemctl", "is-system-running", "--wait") == "running\n"


def test_it_reaches_headscale_the_mesh_peer_and_by_a_line_of_its_own_the_internet(machine: Machine) -> None:
    assert "pass" in fetch(machine, f"{peer.URL}/health")
    assert peer.HOSTNAME in fetch(machine, f"http://{topology.MESH_PEER_IPV4}")
    for address, url in zip(machine.outside, lab_world.INTERNET, strict=True):
        assert f'"{address}"' in fetch(machine, url)


def test_a_confined_service_without_root_makes_interfaces_and_rules(machine: Machine) -> None:
    machine.ssh("mkdir", "-p", "/srv/root")
    write(machine, "/srv/tunnel.py", TUNNEL)
    write(machine, "/run/systemd/system/probe.service", SERVICE)
    machine.ssh("systemctl", "start", "probe")
    assert machine.ssh("nft", "list", "tables") == "table inet probe\n"
    assert machine.ssh("ls", "/var/lib/private/probe") == "written\n"


def power_cycle(machine: Machine) -> None:
    machine.kill()
    machine.start()


@pytest.mark.parametrize("boot", [Machine.reboot, power_cycle])
def test_a_boot_finds_the_disk_as_it_was_and_nothing_of_the_network(
    machine: Machine, boot: Callable[[Machine], None]
) -> None:
    write(machine, "/srv/kept", boot.__name__)
    write(machine, "/etc/sysctl.d/90-probe.conf", "net.ipv4.conf.all.forwarding = 1\n")
    machine.ssh("sysctl", "net.ipv6.conf.all.forwarding=1")
    machine.ssh("nft", "add", "table", "inet", "lost")
    boot(machine)
    assert machine.ssh("cat", "/srv/kept") == boot.__name__
    assert machine.ssh("sysctl", "-n", "net.ipv4.conf.all.forwarding", "net.ipv6.conf.all.forwarding") == "1\n0\n"
    assert machine.ssh("nft", "list", "tables") == ""


def test_two_machines_have_nothing_in_common(machine: Machine) -> None:
    with metal.machine("second") as second:
        for file in ("/etc/hostname", "/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key", "/root/.ssh/authorized_keys"):
            assert machine.ssh("cat", file) != second.ssh("cat", file)
        write(second, "/srv/second", "")
        assert "second" not in machine.ssh("ls", "/srv")
        assert machine.ipv4 != second.ipv4
    assert machine.ssh("hostname") == "edge\n"


def test_what_a_killed_run_left_is_removed_and_nothing_stays() -> None:
    with subprocess.Popen([sys.executable, "-c", HELD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"up\n"
        run.send_signal(signal.SIGKILL)
    with metal.machine("third") as machine:
        assert machine.ssh("ls", "/srv") == ""
    assert not machine.directory.exists()
    assert not list(cgroups.MOUNT.glob("**/*metal-third"))
    ports = subprocess.run(["ip", "-n", topology.NODE, "link"], capture_output=True, text=True, check=True).stdout
    assert f"metal{machine.number}" not in ports


def test_a_machine_that_cannot_boot_shows_its_console() -> None:
    with metal.machine("broken") as machine:
        machine.ssh("rm", "/usr/lib/systemd/systemd")
        with pytest.raises(StepError, match=r"(?s)machine broken ended instead of booting\..*systemd"):
            machine.reboot()
