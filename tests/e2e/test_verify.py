"""`make verify` before a lab that works, and before one whose port is closed."""

import subprocess

from lab import paths
from lab.network import topology
from lab.network.sandbox import in_network
from lab.pulumi.stack import Stack
from tests.e2e import lab_world

CLOSED = """
table inet closed {
    chain in { type filter hook prerouting priority -400; udp dport %s drop; }
}
"""


def verify() -> tuple[int, str]:
    """The exit status, and what it says."""
    done = subprocess.run(
        ["make", "verify", "STACK=lab"], cwd=paths.REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_each_way_into_the_lab_works_and_headscale_has_no_server_key(stack: Stack) -> None:
    status, said = verify()
    assert status == 0, said
    assert f"wireguard at udp:{stack.outputs()['server_endpoint']}, from here: works" in said
    assert "has no WireGuard key of its own" in said
    assert f"lab  {stack.outputs()['server_public_key']}" in said


def test_a_port_that_is_closed_is_told_and_no_device_stays(stack: Stack) -> None:
    endpoint = stack.outputs()["server_endpoint"]
    nft = [*in_network(topology.NODE), "nft"]
    before = lab_world.metric("meshgate_peers")
    subprocess.run([*nft, "-f", "-"], input=CLOSED % endpoint.rpartition(":")[2], text=True, check=True)
    try:
        status, said = verify()
    finally:
        subprocess.run([*nft, "delete", "table", "inet", "closed"], check=True)
    assert status != 0
    assert f"wireguard at udp:{endpoint}, from here: no handshake: what is between here and the gateway" in said
    assert lab_world.metric("meshgate_peers") == before
    assert "has no WireGuard key of its own" in said, "Headscale works, whatever does not"
