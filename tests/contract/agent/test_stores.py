"""What every store of devices does: one suite, over SQLite and over a real etcd."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.agent.store import REVOKED, Device, Sighting, Store, TakenError
from gateway.agent.stores.etcd.client import Etcd
from gateway.agent.stores.etcd.copy import MemberCopy
from gateway.agent.stores.etcd.store import EtcdStore
from gateway.agent.stores.etcd.transactions import listing
from gateway.agent.stores.sqlite import SqliteStore
from tests.contract.agent.etcd import EtcdCluster, etcd_cluster

FIRST = Device(number=2, public_key="fi/rst=", name="a", preshared_key="secret", created_at=10, expires_at=20)
SECOND = Device(number=3, public_key="second", name="a", created_at=11, server_key="a key")
CERTIFIED = Device(number=4, public_key="third", protocol="openvpn", certified_key=b"a\0key", created_at=12)
MANY = [Device(number=number, public_key=f"device {number}", created_at=number) for number in range(2, 132)]

Opener = Callable[[], Store]


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdCluster]:
    with etcd_cluster(tmp_path_factory.mktemp("etcd")) as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "etcd"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of one member; what it opened before is closed."""
    stores: list[Store] = []

    def opener() -> Store:
        for store in stores:
            store.close()
        if request.param == "sqlite":
            stores[:] = [SqliteStore(tmp_path / "peers.sqlite")]
        else:
            urls = request.getfixturevalue("etcd").urls
            stores[:] = [EtcdStore(Etcd(urls), tmp_path.name, MemberCopy(tmp_path / "copy.sqlite"))]
        return stores[0]

    yield opener
    for store in stores:
        store.close()


def by_number(store: Store) -> list[Device]:
    return sorted(store.everyone(), key=lambda device: device.number)


def test_devices_come_back_as_they_were(opened: Opener) -> None:
    store = opened()
    assert (store.everyone(), store.newest_number(), store.client_networks()) == ([], 0, set())
    for device in (FIRST, SECOND, CERTIFIED):
        store.add(device)
    store.note([Sighting("second", "192.0.2.1:5", 12, "another key"), Sighting("gone", "192.0.2.1:6", 13)])
    store.remove([FIRST, replace(SECOND, public_key="never")])
    seen = replace(SECOND, endpoint="192.0.2.1:5", last_handshake=12, server_key="another key")
    assert by_number(store) == [seen, CERTIFIED]
    store = opened()
    assert by_number(store) == [seen, CERTIFIED]
    assert store.newest_number() == 4
    assert [store.has(one.public_key) for one in (FIRST, SECOND, CERTIFIED)] == [False, True, True]


def test_all_but_the_number_is_replaced(opened: Opener) -> None:
    store = opened()
    store.add(FIRST)
    other = Device(
        number=2, public_key=FIRST.public_key, created_at=30, endpoint="192.0.2.1:5", last_handshake=31, server_key="k"
    )
    store.replace(other)
    assert store.everyone() == [other]
    assert opened().everyone() == [other]
    again = replace(other, name="b")
    opened().replace(again)
    opened().replace(replace(again, endpoint="192.0.2.1:6"))
    assert opened().everyone() == [replace(again, endpoint="192.0.2.1:6")]


def test_neither_key_nor_number_is_given_twice(opened: Opener) -> None:
    store = opened()
    store.add(FIRST)
    with pytest.raises(TakenError):
        store.add(replace(SECOND, public_key=FIRST.public_key))
    with pytest.raises(TakenError):
        store.add(replace(SECOND, number=FIRST.number))
    with pytest.raises(TakenError):
        store.replace(SECOND)
    assert store.trouble is None
    assert store.everyone() == [FIRST]
    store.add(SECOND)
    assert by_number(store) == [FIRST, SECOND]


def test_a_number_is_free_again_with_its_device(opened: Opener) -> None:
    store = opened()
    store.add(FIRST)
    store.remove([FIRST])
    store.add(replace(SECOND, number=FIRST.number))
    store.add(replace(FIRST, number=3))
    assert [device.public_key for device in by_number(opened())] == [SECOND.public_key, FIRST.public_key]


def test_networks_and_moved_numbers_are_kept(opened: Opener) -> None:
    store = opened()
    store.add(FIRST)
    store.add(SECOND)
    store.settle(["10.77.0.0/24", "fd77::/64"], {})
    store.settle(["10.78.0.0/24"], {FIRST.public_key: 5})
    store.add(replace(CERTIFIED, number=2))
    store = opened()
    assert store.client_networks() == {"10.78.0.0/24"}
    assert [(device.number, device.public_key) for device in by_number(store)] == [
        (2, CERTIFIED.public_key),
        (3, SECOND.public_key),
        (5, FIRST.public_key),
    ]
    store.replace(replace(FIRST, number=5, name="b"))


def test_many_are_moved_and_forgotten_at_once(opened: Opener) -> None:
    store = opened()
    for device in MANY:
        store.add(device)
    store.settle([], {device.public_key: device.number + 1000 for device in MANY})
    assert [device.number for device in by_number(store)] == [device.number + 1000 for device in MANY]
    store.remove([replace(device, number=device.number + 1000) for device in MANY[1:]])
    assert [device.public_key for device in store.everyone()] == [MANY[0].public_key]
    store = opened()
    assert [device.public_key for device in store.everyone()] == [MANY[0].public_key]
    store.add(replace(SECOND, number=MANY[1].number + 1000))


def test_of_many_those_that_others_changed_stay(etcd: EtcdCluster, tmp_path: Path) -> None:
    store, other = (EtcdStore(Etcd(etcd.urls), tmp_path.name, MemberCopy(tmp_path / name)) for name in ("a", "b"))
    for device in MANY[:5]:
        store.add(device)
    other._take_up_listing(listing(other._etcd, other._names, 0))
    other.replace(replace(MANY[0], name="renewed"))
    other.replace(replace(MANY[1], name="renewed, and revoked"))
    other.remove([MANY[2]])
    store.remove([MANY[0], replace(MANY[1], expires_at=REVOKED), *MANY[2:4]])
    assert [other.has(device.public_key) for device in MANY[:5]] == [True, False, False, False, True]
    store.add(replace(SECOND, number=MANY[1].number))
    store.close()
    other.close()


def test_nothing_is_wrong_with_it(opened: Opener) -> None:
    store = opened()
    store.try_write()
    assert store.trouble is None
