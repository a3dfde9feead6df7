"""The gateway's key is rotated while devices use it: the previous one goes on beside the present one, and ends."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.agent.conftest import made_world
from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.rotated import Keys, left, rotate, status
from tests.contract.agent.world import FAR_4, FAR_6, ROOT, Client, World
from tests.deadlines import wait_for
from tests.pings import pinging

PAST, FUTURE = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
SERVER_PORT = 7000
LARGE = 200_000_000


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory, wireguard_go: str) -> Iterator[tuple[World, Keys]]:
    """A gateway in a rotation that tests share: they leave it ready."""
    with made_world(tmp_path_factory.mktemp("rotated"), wireguard_go) as world:
        world.start()
        yield world, rotate(world)


@contextmanager
def registered(world: World, **of_gateway: str) -> Iterator[tuple[Client, dict[str, object]]]:
    """A client with a working tunnel, and its config, in which the gateway may be another one."""
    with world.new_client() as client:
        config = world.register(client.keys.public) | of_gateway
        client.configure(config)
        assert client.reaches(FAR_4)
        yield client, config
    world.call("DELETE", f"/v1/peers/{client.keys.public}")


def wait_until_noted(world: World, client: Client, *, uses_previous: bool) -> None:
    wait_for(
        lambda: (now := status(world, client))["last_handshake_at"] and now["uses_previous_key"] is uses_previous,
        "the key in use",
    )


def test_no_packet_is_lost_as_a_rotation_begins_and_devices_move_and_move_back(fresh_world: World) -> None:
    """What is under way while a device drops its old session is the device's own to lose: so it pauses then."""
    world = fresh_world
    world.gateway.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    world.start()
    with registered(world) as (client, config):
        wait_until_noted(world, client, uses_previous=False)
        with client.pinging(FAR_4, 0.02) as pings, client.pinging(FAR_6, 0.02) as pings6:
            keys = rotate(world, signal.SIGKILL)
            assert status(world, client)["uses_previous_key"]
        assert (pings.lost, pings6.lost) == ([], [])
        for after, before in ((keys.present, keys.previous), (keys.previous, keys.present)) * 2:
            client.switch(config | before, config | after)
            with client.pinging(FAR_4, 0.02) as pings, client.pinging(FAR_6, 0.02) as pings6:
                wait_until_noted(world, client, uses_previous=after is keys.previous)
                wait_for(lambda: left(world) == (after is keys.previous), "the count of those left")  # noqa: B023
            assert (pings.lost, pings6.lost) == ([], [])


def test_a_new_registration_is_told_the_new_key(rotated: tuple[World, Keys]) -> None:
    world, keys = rotated
    with registered(world) as (client, config):
        assert {name: config[name] for name in keys.present} == keys.present
        assert left(world) == 0
        wait_until_noted(world, client, uses_previous=False)


def test_who_is_called_and_sends_nothing_is_found_by_its_handshake(rotated: tuple[World, Keys]) -> None:
    """It keeps its NAT open: nothing else of it comes. What it loses is counted by `make prove`."""
    world, keys = rotated
    with registered(world, **keys.previous) as (client, config):
        wait_until_noted(world, client, uses_previous=True)
        (address, *_) = world.addresses(client)
        with pinging(world.gateway.inside, address, 0.2) as pings:
            for after, before in ((keys.present, keys.previous), (keys.previous, keys.present)) * 2:
                client.switch(config | before, config | after)
                wait_until_noted(world, client, uses_previous=after is keys.previous)
        assert pings.longest_gap_s < 5


def test_a_download_goes_on(rotated: tuple[World, Keys]) -> None:
    world, keys = rotated
    server = world.far.start("python3", str(ROOT / "tests/contract/agent/far_server.py"), str(SERVER_PORT))
    wait_for(lambda: f":{SERVER_PORT} " in world.far.run("ss", "-Hltn"), "the far server")
    with registered(world, **keys.previous) as (client, config):
        with in_namespace(client.namespace.name):
            connection = socket.create_connection((FAR_4, SERVER_PORT), timeout=5)
        with connection, connection.makefile("rb") as received:
            connection.sendall(b"GET %d\n" % LARGE)
            assert len(received.read(LARGE // 100)) == LARGE // 100
            client.switch(config | keys.previous, config | keys.present)
            assert len(received.read(LARGE // 10)) == LARGE // 10
            wait_until_noted(world, client, uses_previous=False)
            assert received.read(1), "it was over before the device had moved"
    server.kill()
    server.wait()


def test_a_revoked_device_is_out_by_both_keys(rotated: tuple[World, Keys]) -> None:
    world, keys = rotated
    with registered(world, **keys.previous) as (client, config):
        assert world.call("DELETE", f"/v1/peers/{client.keys.public}").status_code == 204
        assert not client.reaches(FAR_4, within_s=1)
        client.switch(config, config | keys.present)
        assert not client.reaches(FAR_4, within_s=1)
        for interface in (world.interface, world.environment["MESHGATE_PREVIOUS_INTERFACE"]):
            assert client.keys.public not in world.gateway.run("wg", "show", interface, "peers")


def test_devices_move_while_the_agent_is_away(rotated: tuple[World, Keys]) -> None:
    world, keys = rotated
    with registered(world, **keys.previous) as (client, config):
        wait_until_noted(world, client, uses_previous=True)
        world.stop_agent(signal.SIGKILL)
        client.switch(config, config | keys.present)
        with client.pinging(FAR_4, 0.02) as pings:
            world.start_agent()
            world.wait_until_ready()
            wait_until_noted(world, client, uses_previous=False)
        assert pings.lost == []


def test_what_leads_to_the_previous_key_is_put_back(rotated: tuple[World, Keys]) -> None:
    world, keys = rotated
    with registered(world, **keys.previous) as (client, _):
        wait_until_noted(world, client, uses_previous=True)
        (address, *_) = world.addresses(client)
        world.gateway.run("nft", "flush", "ruleset")
        world.gateway.run("ip", "rule", "delete", "pref", "5182")
        world.gateway.run("ip", "route", "flush", "table", "5182")
        wait_for(
            lambda: world.gateway.tried("ping", "-n", "-c1", "-W1", address).returncode == 0,
            "the way back to a device that sends nothing",
        )


def test_the_previous_key_ends_and_harms_nobody_who_has_moved(fresh_world: World) -> None:
    world = fresh_world
    world.start()
    until = world.settings / "MESHGATE_PREVIOUS_UNTIL"
    keys = rotate(world, until=FUTURE)
    interface = world.environment["MESHGATE_PREVIOUS_INTERFACE"]
    with registered(world) as (moved, _), registered_elsewhere(world, keys) as stayed:
        wait_until_noted(world, stayed, uses_previous=True)
        with moved.pinging(FAR_4, 0.02) as pings:
            until.write_text(PAST)
            wait_for(lambda: is_down(world, interface), "the end of the previous key")
            assert not stayed.reaches(FAR_4, within_s=1)
            assert world.readiness()[0] == 200
            assert world.gateway.run("wg", "show", interface, "private-key").strip() == "(none)"
            assert "meshgate_rotation" not in world.gateway.run("nft", "list", "tables")
            until.write_text(FUTURE)  # it was too early
            wait_for(lambda: stayed.reaches(FAR_4, within_s=1), "the return of the previous key")
            world.stop_agent()
            for name in [name for name in world.environment if name.startswith("MESHGATE_PREVIOUS_")]:
                del world.environment[name]
            until.unlink()
            world.start_agent()
            world.wait_until_ready()
            wait_for(lambda: "meshgate_rotation" not in world.gateway.run("nft", "list", "tables"), "the end")
        assert pings.lost == []
        assert "5182" not in world.gateway.run("ip", "rule")


@contextmanager
def registered_elsewhere(world: World, keys: Keys) -> Iterator[Client]:
    """A neighbour that keeps its config of the previous key."""
    with world.new_client(world.neighbour) as client:
        client.configure(world.register(client.keys.public) | keys.previous)
        assert client.reaches(FAR_4)
        yield client


def is_down(world: World, interface: str) -> bool:
    return "UP" not in world.gateway.run("ip", "link", "show", "dev", interface).split(">")[0]


def test_a_new_previous_interface_gets_its_devices_back(rotated: tuple[World, Keys]) -> None:
    world, keys = rotated
    with registered(world, **keys.previous) as (client, _):
        wait_until_noted(world, client, uses_previous=True)
        (address, *_) = world.addresses(client)
        assert world.previous_holder is not None
        holder = world.previous_holder.pid
        (child,) = Path(f"/proc/{holder}/task/{holder}/children").read_text().split()
        world.gateway.run("kill", "-9", child)
        wait_for(
            lambda: world.gateway.tried("ping", "-n", "-c1", "-W1", address).returncode == 0,
            "the device, which is called",
        )
        world.wait_until_ready()
