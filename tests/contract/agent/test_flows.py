"""The next device at an address gets nothing that was meant for the one before."""

import os
import sys
from pathlib import Path

import httpx
import pytest

from tests.contract.agent.world import FAR_4, Client, World
from tests.deadlines import wait_for

PORT = 7000
ANSWERS_FOR_LONG = f"""
import socket, time
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("{FAR_4}", {PORT}))
_, caller = server.recvfrom(100)
for _ in range(600):
    server.sendto(b"answer", caller)
    time.sleep(0.05)
"""
HEAR = f"""
import socket, sys
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.bind(("0.0.0.0", 5555))
client.settimeout(1)
if sys.argv[1:]:
    client.sendto(b"question", ("{FAR_4}", {PORT}))
print(client.recv(100).decode())
"""


@pytest.mark.parametrize("flushed", [True, False], ids=["ended", "if they were not ended"])
def test_connections_end_with_their_device(fresh_world: World, tmp_path: Path, flushed: bool) -> None:
    world = fresh_world
    world.environment["MESHGATE_CLIENT_NETWORKS"] = "10.77.0.0/30"  # one device at a time
    if not flushed:
        (tmp_path / "conntrack").symlink_to("/bin/true")
        world.environment["PATH"] = f"{tmp_path}:{Path(world.wireguard_go).parent}:{os.environ['PATH']}"
    world.start()
    world.far.start(sys.executable, "-c", ANSWERS_FOR_LONG)
    with world.new_client() as first:
        first.configure(world.register(first.keys.public))
        wait_for(lambda: heard(first, "ask") == "answer\n", "an answer")
        world.call("DELETE", f"/v1/peers/{first.keys.public}")
    with world.new_client() as second:
        wait_for(lambda: comes_in(world, second), "the address")
        assert second.reaches(FAR_4)
        assert heard(second) == ("" if flushed else "answer\n")


def test_what_a_killed_agent_left_behind_ends_at_the_start_of_the_next(fresh_world: World) -> None:
    world = fresh_world
    world.start()
    world.stop_agent()
    flow = ("-p", "udp", "--sport", "5555", "--dport", "7000", "-t", "1000")
    gone, there = ("10.77.0.9", "fd77::9"), ("198.51.100.7", "2001:db8:100::7")
    for source, target in zip((*gone, *there), (FAR_4, "2001:db8:100::2") * 2, strict=True):
        world.gateway.run("conntrack", "-I", "-s", source, "-d", target, *flow)
    world.start_agent()
    wait_for(lambda: not {source for source in gone if source in connections(world)}, "their end")
    assert all(source in connections(world) for source in there)


def connections(world: World) -> str:
    return "".join(world.gateway.run("conntrack", "-L", "-f", family) for family in ("ipv4", "ipv6"))


def heard(client: Client, *ask: str) -> str:
    """What comes to UDP port 5555 within a second."""
    return client.namespace.tried(sys.executable, "-c", HEAR, *ask).stdout


def comes_in(world: World, client: Client) -> bool:
    answer = world.call("POST", "/v1/peers", json={"public_key": client.keys.public})
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        return False
    client.configure(answer.json())
    return True
