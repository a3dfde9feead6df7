"""Turns: what a worker of a run waits for, so that workers do not disturb each other.

A test that is marked `quiet` times packets: no other test runs meanwhile. The lab's whole life makes the mesh anew: no
machine is in it meanwhile.
"""

import fcntl
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

MACHINES = ("tests/e2e/test_keys_machine.py", "tests/e2e/test_metal.py", "tests/e2e/test_metal_machine.py")
"""Tests of machines in the lab's mesh that leave its stack alone."""

WHOLE_LIFE = "tests/e2e/test_whole_life.py"


class Turns:
    """The part of pytest that waits, in a worker; its locks are files of that directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._mesh = ExitStack()
        self._keeps_mesh = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Wait before the test's time begins. The mesh is kept from a file's first test to its last."""
        if _needs_mesh(item) and not self._keeps_mesh:
            self._mesh.enter_context(room(self._directory / "mesh", alone=item.nodeid.startswith(WHOLE_LIFE)))
            self._keeps_mesh = True
        with room(self._directory / "processors", alone=item.get_closest_marker("quiet") is not None):
            result = yield
        if nextitem is None or nextitem.path != item.path:
            self._mesh.close()
            self._keeps_mesh = False
        return result


def _needs_mesh(item: pytest.Item) -> bool:
    return item.nodeid.startswith((*MACHINES, WHOLE_LIFE))


@contextmanager
def room(lock: Path, *, alone: bool) -> Iterator[None]:
    """Share the lock, or have it alone. Who wants it alone is next: nobody else comes in before."""
    with lock.with_suffix(".door").open("w") as door, lock.open("w") as inside:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(inside, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield
