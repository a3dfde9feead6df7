"""Workers of a test run that wait for one another."""

from pathlib import Path
from threading import Event, Thread

from tests.turns import room


def _enter(lock: Path, *, alone: bool) -> tuple[Event, Event]:
    """Somebody who comes in: whether they are in, and what lets them go."""
    inside, leave = Event(), Event()

    def stay() -> None:
        with room(lock, alone=alone):
            inside.set()
            leave.wait(10)

    Thread(target=stay, daemon=True).start()
    return inside, leave


def test_it_is_shared_until_one_wants_it_alone_who_is_the_next(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    first, first_leaves = _enter(lock, alone=False)
    second, second_leaves = _enter(lock, alone=False)
    assert first.wait(5)
    assert second.wait(5)

    alone, alone_leaves = _enter(lock, alone=True)
    assert not alone.wait(0.1)
    late, late_leaves = _enter(lock, alone=False)
    assert not late.wait(0.1), "it would never be alone, if others kept coming"

    first_leaves.set()
    second_leaves.set()
    assert alone.wait(5)
    assert not late.wait(0.1)
    alone_leaves.set()
    assert late.wait(5)
    late_leaves.set()
