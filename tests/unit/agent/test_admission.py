"""Who may connect: bounds on all connections and on those of an address."""

import resource
from dataclasses import dataclass, field

import pytest

from gateway.agent.admission import Admission, Bounds, subject


@dataclass(eq=False)
class Visitor:
    """A connection that knows whether it was ended."""

    address: str
    busy: bool = False
    trusted: bool = False
    ended: bool = field(default=False, init=False)

    def cut(self) -> None:
        self.ended = True


@pytest.mark.parametrize(
    ("host", "whom"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
    ],
)
def test_an_address_is_what_one_host_may_have(host: str, whom: str) -> None:
    assert subject(host) == whom


def test_where_there_is_no_room_the_oldest_idle_connection_goes() -> None:
    door = Admission(Bounds(total=4, each=4))
    busy, trusted = Visitor("a", busy=True), Visitor("b", trusted=True)
    silent = [Visitor(f"silent-{number}") for number in range(100)]
    for visitor in (busy, trusted, *silent):
        assert door.admit(visitor)
    assert [visitor.ended for visitor in (busy, trusted, *silent)] == [False, False, *[True] * 98, False, False]
    assert len(door) == 4


def test_those_that_showed_a_good_token_go_last_and_those_with_a_request_never() -> None:
    door = Admission(Bounds(total=2, each=2))
    trusted, busy = Visitor("a", trusted=True), Visitor("b", busy=True)
    assert door.admit(trusted)
    assert door.admit(busy)
    assert door.admit(Visitor("c", busy=True))
    assert trusted.ended
    assert not busy.ended
    assert not door.admit(Visitor("d"))
    door.leave(busy)
    assert door.admit(Visitor("d"))


def test_an_address_above_its_bound_pays_with_its_own() -> None:
    door = Admission(Bounds(total=100, each=3))
    neighbour, crowd = Visitor("honest"), [Visitor("crowd") for _ in range(50)]
    assert all(door.admit(visitor) for visitor in (neighbour, *crowd))
    assert not neighbour.ended
    assert [visitor.ended for visitor in crowd] == [*[True] * 47, *[False] * 3]
    for visitor in crowd:
        visitor.busy = True
    assert not door.admit(Visitor("crowd"))
    assert door.admit(Visitor("another"))


def test_strangers_are_counted_until_they_leave() -> None:
    door = Admission(Bounds(total=100, each=10))
    visitors = [Visitor("a", trusted=True), Visitor("a"), Visitor("a"), Visitor("b")]
    assert all(map(door.admit, visitors))
    assert (door.strangers("a"), door.strangers("b"), door.strangers("c")) == (2, 1, 0)
    for visitor in visitors:
        door.leave(visitor)
        door.leave(visitor)  # as a connection that was cut does once more when it is lost
    assert (door.strangers("a"), len(door)) == (0, 0)


def test_bounds_stay_below_what_the_process_may_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, bounds in (
        (1024, Bounds(512, 128)),
        (200, Bounds(100, 100)),
        (resource.RLIM_INFINITY, Bounds(600, 128)),
    ):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert Bounds(600, 128).within_descriptors() == bounds
