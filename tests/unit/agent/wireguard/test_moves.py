"""Which key a device uses, by the times of its handshakes."""

from collections.abc import Iterator
from itertools import count

from gateway.agent.protocols.wireguard.moves import SETTLES_S, Handshakes, Moved, Moves

NOW = 1000


def moves(uptime: Iterator[float] | None = None) -> Moves:
    """Its looks have so much time between them that a move is told once, unless the test says when they are."""
    seldom = uptime or count(step=SETTLES_S)
    return Moves(clock=lambda: NOW, monotonic=lambda: next(seldom))


def test_the_first_look_takes_the_later_handshake_of_each_device() -> None:
    present = {"moved": 20, "stays": 0, "returned": 20, "asleep": 0}
    previous = {"moved": 10, "stays": 10, "returned": 30, "asleep": 0}
    moved = moves().take(Handshakes(present, previous))
    assert (set(moved.to_present), set(moved.to_previous)) == ({"moved"}, {"stays", "returned"})


def test_who_has_a_handshake_moves_and_others_are_left_alone() -> None:
    seen = moves()
    seen.take(Handshakes({"one": 0, "other": 0}, {"one": 10, "other": 10}))
    assert seen.take(Handshakes({"one": 20, "other": 0}, {"one": 10, "other": 10})) == Moved(["one"], [])
    assert seen.take(Handshakes({"one": 20, "other": 0}, {"one": 10, "other": 10})) == Moved([], [])
    assert seen.take(Handshakes({"one": 20, "other": 0}, {"one": 30, "other": 10})) == Moved([], ["one"])


def test_a_move_is_told_again_until_packets_that_were_under_way_have_come() -> None:
    seen = moves(iter((0, 0.5, 1, 1 + SETTLES_S)))
    seen.take(Handshakes({"one": 0}, {"one": 500}))
    told = [seen.take(Handshakes({"one": 20}, {"one": 500})) for _ in range(3)]  # and the clock was set back
    assert told == [Moved(["one"], []), Moved(["one"], []), Moved([], [])]


def test_a_clock_that_was_set_back_hides_no_move() -> None:
    seen = moves()
    seen.take(Handshakes({"one": 0}, {"one": 500}))
    assert seen.take(Handshakes({"one": 20}, {"one": 500})) == Moved(["one"], [])


def test_handshakes_by_both_keys_within_a_second_tell_nothing() -> None:
    assert moves().take(Handshakes({"one": 20}, {"one": 20})) == Moved([], [])


def test_an_interface_that_was_made_anew_moves_nobody() -> None:
    seen = moves()
    seen.take(Handshakes({"one": 20}, {"one": 10}))
    assert seen.take(Handshakes({"one": 0}, {"one": 10})) == Moved([], [])
    assert seen.take(Handshakes({}, {})) == Moved([], [])


def test_what_came_to_nothing_is_told_again() -> None:
    seen = moves()
    times = Handshakes({"one": 20}, {"one": 10})
    seen.take(times)
    seen.forget()
    assert seen.take(times) == Moved(["one"], [])


def test_a_device_that_was_heard_by_both_keys_counts_once() -> None:
    seen = moves()
    seen.take(Handshakes({"both": NOW - 5, "old": 0}, {"both": NOW - 10, "old": NOW - 100}))
    assert [seen.heard_within(seconds) for seconds in (1, 50, 200)] == [0, 1, 2]
