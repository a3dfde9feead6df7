"""A key is rotated with 1,000 devices registered, of which most sleep: what is lost by those that are awake."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.contract.agent.conftest import made_world, wireguard_go
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.rotated import rotate
from tests.contract.agent.world import FAR_4, Client, World
from tests.pings import Pings, pinging
from tests.prove.figures import show
from tests.unit.agent.fakes import key_pair

__all__ = ["wireguard_go"]

pytestmark = pytest.mark.timeout(900)

DEVICES = 1000
AWAKE = 12
"""Each is a client of its own. Half of them start traffic once they have moved, the others are called meanwhile."""
ROUNDS = 17
"""So there are 102 moves of each kind, there and back."""
CALLED_EVERY_S, STARTED_EVERY_S = 0.2, 0.02
BETWEEN_MOVES_S = 0.3


def test_nobody_who_starts_traffic_loses_a_packet_and_who_is_called_one_at_most(
    tmp_path: Path,
    wireguard_go: str,
) -> None:
    with made_world(tmp_path, wireguard_go) as world, ExitStack() as stack:
        world.environment["MESHGATE_CLIENT_NETWORKS"] = "10.77.0.0/20,fd77::/64"
        world.start()
        clients = [stack.enter_context(connected(world, number)) for number in range(AWAKE)]
        configs = [world.register(client.keys.public) for client in clients]
        for client, config in zip(clients, configs, strict=True):
            client.configure(config)
            assert client.reaches(FAR_4)
        with world.http() as http:
            for _ in range(DEVICES - AWAKE):
                http.post("/v1/peers", json={"public_key": key_pair().public}).raise_for_status()
        with ExitStack() as during:
            pings = [during.enter_context(client.pinging(FAR_4, STARTED_EVERY_S)) for client in clients]
            keys = rotate(world)
        told("as the rotation begins", pings, at_most=0)

        called: list[Pings] = []
        started: list[Pings] = []
        before, after = keys.previous, keys.present
        for _ in range(ROUNDS):
            with ExitStack() as during:
                for client in clients[: AWAKE // 2]:
                    (address, *_) = world.addresses(client)
                    called.append(during.enter_context(pinging(world.gateway.inside, address, CALLED_EVERY_S)))
                time.sleep(1)
                for client, config in zip(clients, configs, strict=True):
                    time.sleep(BETWEEN_MOVES_S)
                    client.switch(config | before, config | after)
                    if client not in clients[: AWAKE // 2]:
                        started.append(during.enter_context(client.pinging(FAR_4, STARTED_EVERY_S)))
                time.sleep(1)
            before, after = after, before
        told(f"{len(started)} moves of devices that start traffic", started, at_most=0)
        told(f"{len(called)} moves of devices that are called every {CALLED_EVERY_S} s", called, at_most=1)


def told(what: str, pings: list[Pings], at_most: int) -> None:
    """Show what was lost, and hold it to what may be."""
    lost, received = [len(one.lost) for one in pings], sum(one.received for one in pings)
    show(f"{what}: {sum(lost)} packets lost of {received + sum(lost)}, {max(lost)} at most")
    assert max(lost) <= at_most


@contextmanager
def connected(world: World, number: int) -> Iterator[Client]:
    """A client on a machine of its own, in the clients' network."""
    machine = Namespace(f"d{number}")
    try:
        world.gateway.run("ip", "link", "add", f"dev{number}", "type", "veth", "peer", "lan", "netns", machine.name)
        world.gateway.run("ip", "link", "set", f"dev{number}", "master", "lan", "up")
        machine.run("ip", "address", "add", f"10.213.7.{number + 20}/24", "dev", "lan")
        machine.run("ip", "link", "set", "lan", "up")
        with world.new_client(machine) as client:
            yield client
    finally:
        machine.delete()
