"""All devices out of one store into another, also when that is killed at any of its steps."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device, Sighting, StoreError
from gateway.agent.stores import files, open_store
from gateway.agent.stores.etcd import credentials
from gateway.agent.stores.etcd.home import EtcdHome
from gateway.agent.stores.moving import Home, move
from gateway.agent.stores.sqlite import SqliteStore
from gateway.agent.stores.sqlite_home import SqliteHome
from tests.contract.agent.etcd import EtcdCluster, etcd_cluster
from tests.unit.agent.fakes import agent_settings

DEVICES = [
    Device(number=2, public_key="fi/rst=", name="a", preshared_key="secret", created_at=10, expires_at=20),
    Device(number=3, public_key="second", created_at=11, endpoint="192.0.2.1:5", last_handshake=12, server_key="k"),
    Device(number=4, public_key="third", protocol="openvpn", certified_key=b"a\0key", created_at=12),
    *(Device(number=number, public_key=f"device {number}", created_at=13) for number in range(5, 47)),
]
NETWORKS = {"10.77.0.0/24", "fd77::/64"}
KILLED = 9

STEPS = f"""
import os, sqlite3, sys
from pathlib import Path
from gateway.agent.stores.etcd.client import Etcd
from gateway.agent.stores.sqlite import SqliteStore
left = int(sys.argv.pop(1))
def mortal(step):
    def stepped(*arguments, **named):
        global left
        left -= 1
        if left == 0:
            os._exit({KILLED})
        return step(*arguments, **named)
    return stepped
Etcd.call, Path.rename, SqliteStore.fill = map(mortal, (Etcd.call, Path.rename, SqliteStore.fill))
from gateway.agent.move_devices import main
sys.exit(main(sys.argv[1:]))
"""
"""The command, killed before one of its steps."""


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


class Machine:
    """One with an agent's settings."""

    def __init__(self, directory: Path, etcd: EtcdCluster) -> None:
        self.directory = directory
        self.settings = {"etcd_endpoints": ",".join(etcd.urls), "etcd_prefix": directory.name}

    def store(self, name: str) -> AgentSettings:
        return agent_settings(self.directory, store=name, **self.settings)

    def move(self, before: str, after: str, killed_at: int = 0) -> subprocess.CompletedProcess[str]:
        told = {
            "LISTEN_PORT": "51820",
            "ENDPOINT": "vpn.example.org:51820",
            "CLIENT_NETWORKS": "10.77.0.0/24",
            "PRIVATE_KEY_FILE": "private-key",
            "PUBLIC_KEY": self.store("sqlite").public_key,
            "TOKEN_FILE": "token",
            "STATE_DIR": str(self.directory),
            **{name.upper(): value for name, value in self.settings.items()},
        }
        command = ["-c", STEPS, str(killed_at)] if killed_at else ["-m", "gateway.agent.move_devices"]
        return subprocess.run(
            [sys.executable, *command, before, after],
            env={**os.environ, "PYTHONPATH": ".", **{f"MESHGATE_{name}": str(value) for name, value in told.items()}},
            capture_output=True,
            text=True,
            check=False,
        )

    def move_here(self, before: str, after: str) -> None:
        """The same without a process of its own."""
        client = credentials.etcd(self.store("etcd"))
        homes: dict[str, Home] = {
            "sqlite": SqliteHome(self.directory / files.SQLITE),
            "etcd": EtcdHome(client, self.settings["etcd_prefix"], self.directory / files.ETCD_COPY),
        }
        with closing(client):
            move(homes[before], homes[after])

    def fill(self) -> None:
        store = SqliteStore(self.directory / files.SQLITE)
        store.fill(DEVICES, 200, NETWORKS)
        store.close()

    def has_all(self, name: str) -> None:
        """An agent with this store has all devices; one with another does not even start."""
        (other,) = {"sqlite", "etcd"} - {name}
        with pytest.raises(StoreError, match=f"MESHGATE_STORE is {other}, and .* has the devices of {name}: run"):
            open_store(self.store(other))
        store = open_store(self.store(name))
        try:
            assert store.trouble is None
            assert sorted(store.everyone(), key=lambda device: device.number) == DEVICES
            assert (store.newest_number(), store.client_networks()) == (200, NETWORKS)
        finally:
            store.close()


@pytest.fixture
def machine(tmp_path: Path, etcd: EtcdCluster) -> Machine:
    machine = Machine(tmp_path, etcd)
    machine.fill()
    return machine


def test_devices_move_into_etcd_and_back_and_again(machine: Machine) -> None:
    for before, after in (("sqlite", "etcd"), ("etcd", "sqlite"), ("sqlite", "etcd")):
        machine.has_all(before)
        done = machine.move(before, after)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"45 devices have moved into {after}: set MESHGATE_STORE={after}, and start the agent\n"
        machine.has_all(after)
        again = machine.move(before, after)
        assert again.stdout.startswith("all devices had moved into")
        machine.has_all(after)


@pytest.mark.parametrize(("before", "after"), [("sqlite", "etcd"), ("etcd", "sqlite")])
@pytest.mark.timeout(180)
def test_killed_at_any_step_the_next_run_converges(before: str, after: str, machine: Machine) -> None:
    if before == "etcd":
        machine.move_here("sqlite", "etcd")
    step = 0
    while True:
        step += 1
        killed = machine.move(before, after, killed_at=step)
        if killed.returncode != KILLED:
            break
        machine.move_here(before, after)
        machine.has_all(after)
        machine.move_here(after, before)
        machine.has_all(before)
    assert (killed.returncode, killed.stderr) == (0, "")
    assert step > 8
    machine.has_all(after)


def test_who_still_uses_a_store_that_was_left_is_told(machine: Machine, tmp_path: Path, etcd: EtcdCluster) -> None:
    assert machine.move("sqlite", "etcd").returncode == 0
    other = Machine(tmp_path / "other", etcd)
    other.directory.mkdir()
    other.settings = machine.settings
    store = open_store(other.store("etcd"))
    try:
        store.note([Sighting("second", "192.0.2.9:9", 99)])
        assert machine.move("etcd", "sqlite").returncode == 0
        with pytest.raises(StoreError, match="is not in use: its devices were moved into another store; say which by"):
            store.add(replace(DEVICES[0], public_key="new", number=150))
        assert len(store.everyone()) == len(DEVICES)
    finally:
        store.close()


def test_devices_of_others_are_not_overwritten(machine: Machine, etcd: EtcdCluster) -> None:
    open_store(agent_settings(machine.directory / "elsewhere", store="etcd", **machine.settings)).close()
    done = machine.move("sqlite", "etcd")
    assert done.returncode == 1
    assert done.stderr == (
        "the devices have not moved: the store that they are to move into is in use: it must be empty, and no agent "
        "may have been started with it\n"
    )


def test_nothing_moves_while_an_agent_runs(machine: Machine) -> None:
    with closing(SqliteStore(machine.directory / files.SQLITE)):
        done = machine.move("sqlite", "etcd")
    assert done.returncode == 1
    assert "database is locked; the agent must not run while its devices move" in done.stderr


def test_what_cannot_be_asked_for_is_told(machine: Machine) -> None:
    assert "sqlite etcd, or etcd sqlite" in machine.move("sqlite", "sqlite").stderr
    machine.settings["etcd_endpoints"] = ""
    done = machine.move("sqlite", "etcd")
    assert (done.returncode, done.stderr) == (
        2,
        "MESHGATE_ETCD_ENDPOINTS is not set: write https://HOST:2379 of each member\n",
    )
