"""The gateway's key is rotated while devices use it: the previous one goes on beside the present one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.agent.rotated import Keys, left, rotate, status
from tests.contract.agent.world import FAR_4, FAR_6, MESH_4, Client, World
from tests.deadlines import wait_for
from tests.pings import pinging

pytestmark = pytest.mark.quiet


@contextmanager
def registered(world: World) -> Iterator[tuple[Client, dict[str, Any]]]:
    """A client with a working tunnel, and what its registration was answered."""
    with world.new_client() as client:
        answer = world.register(client.keys.public)
        client.configure(answer)
        assert client.reaches(FAR_4)
        yield client, answer


def test_no_packet_is_lost_as_a_rotation_begins_and_devices_move(fresh_world: World) -> None:
    world = fresh_world
    world.start()
    with registered(world) as (client, answer):
        wait_for(lambda: status(world, client)["last_handshake_at"], "the handshake in the store")
        with client.pinging(FAR_4, 0.02) as pings, client.pinging(FAR_6, 0.02) as pings6:
            keys = rotate(world)
            wait_for(lambda: left(world) == 1, "the count of those who have not moved")
            assert status(world, client)["uses_previous_key"]
            for before, after in ((keys.previous, keys.present), (keys.present, keys.previous)) * 2:
                client.switch(answer | before, answer | after)
                uses_previous = after is keys.previous
                wait_for(lambda: status(world, client)["uses_previous_key"] is uses_previous, "the key in use")  # noqa: B023
                wait_for(lambda: left(world) == uses_previous, "the count")  # noqa: B023
        assert pings.received > 100
        assert (pings.lost, pings6.lost) == ([], [])


def test_who_is_called_by_the_gateway_loses_one_packet_at_most(fresh_world: World) -> None:
    world = fresh_world
    world.start()
    with registered(world) as (client, answer):
        keys = rotate(world)
        (address, *_) = world.addresses(client)
        with pinging(world.gateway.inside, address, 0.05) as pings:
            for before, after in ((keys.previous, keys.present), (keys.present, keys.previous)) * 2:
                client.switch(answer | before, answer | after)
                uses_previous = after is keys.previous
                wait_for(lambda: status(world, client)["uses_previous_key"] is uses_previous, "the key in use")  # noqa: B023
        assert pings.received > 50
        assert len(pings.lost) <= 4, "one a switch"
