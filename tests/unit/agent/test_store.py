import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.agent.errors import NameTakenError
from gateway.agent.store import Device, Sighting, Store, StoreError

FIRST = Device(number=2, public_key="first", name="a", preshared_key="secret", created_at=10, expires_at=20)
SECOND = Device(number=3, public_key="second", created_at=11)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "peers.sqlite"


def test_devices_come_back_as_they_were(path: Path) -> None:
    store = Store(path)
    store.add(FIRST)
    store.add(SECOND)
    store.note([Sighting("second", "192.0.2.1:5", 12), Sighting("gone", "192.0.2.1:6", 13)])
    store.remove(["first", "never"])
    store.close()
    store = Store(path)
    assert store.everyone() == [
        Device(number=3, public_key="second", created_at=11, endpoint="192.0.2.1:5", last_handshake=12)
    ]
    assert store.newest_number() == 3
    assert store.find("first") is None
    store.close()


def test_a_name_is_one_devices(path: Path) -> None:
    store = Store(path)
    store.add(FIRST)
    with pytest.raises(NameTakenError, match="the name 'a' belongs to another peer"):
        store.add(Device(number=3, public_key="second", name="a", created_at=1))
    store.add(SECOND)  # the refused one left nothing behind
    with pytest.raises(NameTakenError):
        store.replace(Device(number=3, public_key="second", name="a", created_at=1))
    store.close()


def test_pages_and_expiry(path: Path) -> None:
    store = Store(path)
    for number in range(2, 7):
        store.add(Device(number=number, public_key=str(number), created_at=0, expires_at=number * 10))
    assert [device.number for device in store.page(after=3, limit=2)] == [4, 5]
    assert [device.number for device in store.expired(now=30)] == [2, 3]
    store.close()


def test_every_change_is_on_the_disk_when_the_call_returns(path: Path) -> None:
    store = Store(path)
    store.add(FIRST)
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(path.read_bytes())  # as a crash would leave it
    path_of_log = path.with_name("peers.sqlite-wal")
    copy.with_name("copy.sqlite-wal").write_bytes(path_of_log.read_bytes())
    crashed = Store(copy)
    assert crashed.everyone() == [FIRST]
    crashed.close()
    store.close()


def test_only_the_owner_can_read_it_and_one_process_has_it(path: Path) -> None:
    store = Store(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM peers")
    other.close()
    store.close()


def test_what_is_no_store_is_refused(path: Path) -> None:
    path.write_bytes(b"something else entirely, and long enough" * 100)
    with pytest.raises(StoreError, match=f"devices cannot be kept in {path}"):
        Store(path)
    with pytest.raises(StoreError, match="Not a directory"):
        Store(path / "below" / "peers.sqlite")


def test_preshared_keys_are_not_shown(path: Path) -> None:
    assert "secret" not in repr(FIRST)
