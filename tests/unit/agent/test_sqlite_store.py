import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.store import Device, Sighting, StoreError
from gateway.agent.stores import sqlite_versions
from gateway.agent.stores.sqlite import SqliteStore

FIRST = Device(number=2, public_key="first", name="a", preshared_key="secret", created_at=10, expires_at=20)
SECOND = Device(number=3, public_key="second", name="a", created_at=11)
CERTIFIED = Device(number=4, public_key="third", protocol="openvpn", certified_key=b"a key", created_at=12)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peers.sqlite"


def test_devices_come_back_as_they_were(path: Path) -> None:
    store = SqliteStore(path)
    store.add(FIRST)
    store.add(SECOND)
    store.add(CERTIFIED)
    store.note([Sighting("second", "192.0.2.1:5", 12, "a key"), Sighting("gone", "192.0.2.1:6", 13)])
    store.remove([FIRST, replace(FIRST, public_key="never")])
    store.close()
    store = SqliteStore(path)
    assert store.everyone() == [
        replace(SECOND, endpoint="192.0.2.1:5", last_handshake=12, server_key="a key"),
        CERTIFIED,
    ]
    assert store.newest_number() == 4
    store.close()


def test_all_but_the_number_is_replaced(path: Path) -> None:
    store = SqliteStore(path)
    store.add(FIRST)
    other = Device(
        number=2, public_key="first", created_at=30, endpoint="192.0.2.1:5", last_handshake=31, server_key="a key"
    )
    store.replace(other)
    assert store.everyone() == [other]
    store.close()


def test_networks_and_moved_numbers_are_kept(path: Path) -> None:
    store = SqliteStore(path)
    assert store.client_networks() == set()
    store.add(FIRST)
    store.settle(["10.77.0.0/24", "fd77::/64"], {})
    store.settle(["10.78.0.0/24"], {"first": 5})
    store.close()
    store = SqliteStore(path)
    assert store.client_networks() == {"10.78.0.0/24"}
    assert [device.number for device in store.everyone()] == [5]
    store.close()


def test_every_change_is_on_the_disk_when_the_call_returns(path: Path) -> None:
    store = SqliteStore(path)
    store.add(FIRST)
    crashed = SqliteStore(copy_of(path))  # as a crash would leave it
    assert crashed.everyone() == [FIRST]
    crashed.close()
    store.close()


def copy_of(path: Path) -> Path:
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(path.read_bytes())
    copy.with_name("copy.sqlite-wal").write_bytes(path.with_name("peers.sqlite-wal").read_bytes())
    return copy


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda store: store.add(FIRST), "written"),
        (lambda store: store.replace(FIRST), "written"),
        (lambda store: store.remove([FIRST]), "written"),
        (lambda store: store.note([]), "written"),
        (lambda store: store.settle([], {}), "written"),
        (lambda store: store.everyone(), "read"),
        (lambda store: store.newest_number(), "read"),
        (lambda store: store.client_networks(), "read"),
    ],
)
def test_whatever_sqlite_says_is_one_sentence(path: Path, call: Callable[[SqliteStore], object], word: str) -> None:
    store = SqliteStore(path)
    store.close()
    with pytest.raises(StoreError, match=f"the store of devices cannot be {word}: Cannot operate on a closed database"):
        call(store)


def test_a_refused_change_leaves_nothing_behind(path: Path) -> None:
    store = SqliteStore(path)
    store.add(FIRST)
    with pytest.raises(StoreError, match="UNIQUE constraint failed"):
        store.add(Device(number=3, public_key="first", created_at=1))
    with pytest.raises(OverflowError):
        store.add(Device(number=2**70, public_key="second", created_at=1))
    store.add(SECOND)
    assert store.everyone() == [FIRST, SECOND]
    store.close()


def test_only_the_owner_can_read_it_and_one_process_has_it(path: Path) -> None:
    store = SqliteStore(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM peers")
    other.close()
    store.close()


def test_what_is_no_store_is_refused(path: Path) -> None:
    path.write_bytes(b"something else entirely, and long enough" * 100)
    with pytest.raises(StoreError, match=f"devices cannot be kept in {path}"):
        SqliteStore(path)
    with pytest.raises(StoreError, match="Not a directory"):
        SqliteStore(path / "below" / "peers.sqlite")


def test_preshared_keys_are_not_shown(path: Path) -> None:
    assert "secret" not in repr(FIRST)


class TestVersions:
    LATEST = len(sqlite_versions._STEPS)

    def version(self, path: Path) -> int:
        db = sqlite3.connect(path)
        (version,) = db.execute("PRAGMA user_version").fetchone()
        db.close()
        return int(version)

    def run(self, path: Path, *statements: str) -> None:
        db = sqlite3.connect(path)
        for statement in statements:
            db.execute(statement)
        db.commit()
        db.close()

    def write_with_first(self, path: Path, version: int) -> None:
        """A file as an agent of this version left it."""
        columns = "number, public_key, name, preshared_key, created_at, expires_at, endpoint, last_handshake"
        self.run(
            path,
            *(statement for step in sqlite_versions._STEPS[:version] for statement in step),
            f"INSERT INTO peers ({columns}) VALUES (2, 'first', 'a', 'secret', 10, 20, NULL, 0)",  # noqa: S608
            "UPDATE pool SET newest = 2",
            f"PRAGMA user_version = {version}",
        )
        assert self.version(path) == version

    @pytest.mark.parametrize("version", range(1, len(sqlite_versions._STEPS)))
    def test_a_file_of_any_version_is_brought_up_to_date(self, path: Path, version: int) -> None:
        self.write_with_first(path, version)
        store = SqliteStore(path)
        store.add(SECOND)
        assert store.everyone() == [FIRST, SECOND]
        assert store.newest_number() == 3
        store.close()
        assert self.version(path) == self.LATEST

    def test_a_file_one_version_newer_is_used(self, path: Path) -> None:
        SqliteStore(path).close()
        self.run(path, "ALTER TABLE peers ADD COLUMN later TEXT", f"PRAGMA user_version = {self.LATEST + 1}")
        store = SqliteStore(path)
        store.add(FIRST)
        assert store.everyone() == [FIRST]
        store.close()
        assert self.version(path) == self.LATEST + 1

    def test_an_even_newer_one_is_refused_with_a_sentence(self, path: Path) -> None:
        SqliteStore(path).close()
        self.run(path, f"PRAGMA user_version = {self.LATEST + 2}")
        sentence = (
            f"devices cannot be kept in {path}: its version is {self.LATEST + 2}, and this agent uses none above "
            rf"{self.LATEST + 1} \(its own is {self.LATEST}\); run the newer agent that wrote it"
        )
        with pytest.raises(StoreError, match=f"^{sentence}$"):
            SqliteStore(path)

    @pytest.mark.parametrize("statement", range(6))
    def test_killed_in_a_step_the_next_start_goes_on(self, path: Path, statement: int) -> None:
        self.write_with_first(path, 1)
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(path), str(statement)],
            check=False,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert killed.returncode == 9
        assert self.version(path) == 1
        store = SqliteStore(path)
        assert store.everyone() == [FIRST]
        store.close()
        assert self.version(path) == self.LATEST


KILLED = """
import os, sqlite3, sys
from gateway.agent.stores.sqlite_versions import bring_up_to_date
done = -3  # PRAGMA user_version and BEGIN come before the step's own statements
def count(statement):
    global done
    done += 1
    if done == int(sys.argv[2]):
        os._exit(9)
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.set_trace_callback(count)
bring_up_to_date(db)
"""
