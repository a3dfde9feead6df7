import os
import subprocess
from collections.abc import Iterator

import pytest

from lab.processes import daemon, marker
from lab.processes.daemon import Process


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for child in started:
        child.kill()
        child.wait()


def marked_by(owner: Process, children: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, marker.VARIABLE: f"{owner.pid}:{owner.started}"}
    children.append(subprocess.Popen(["sleep", "60"], env=environment))
    return children[-1]


def process(pid: int) -> Process:
    found = daemon.running(pid)
    assert found is not None
    return found


def test_what_a_dead_run_and_this_run_started_is_ended_and_nothing_else(
    children: list[subprocess.Popen[bytes]],
) -> None:
    other_run = subprocess.Popen(["sleep", "60"])
    children.append(other_run)
    of_the_living = marked_by(process(other_run.pid), children)
    of_the_dead = marked_by(Process(other_run.pid, process(other_run.pid).started - 1), children)
    of_this_run = marked_by(process(os.getpid()), children)
    assert marker.end_orphans() >= 2, "a killed run of the lab may have left some of its own"
    assert of_the_dead.wait(timeout=5) == -9
    assert of_this_run.wait(timeout=5) == -9
    assert of_the_living.poll() is None
    assert other_run.poll() is None


def test_a_run_marks_with_its_own_id_and_start() -> None:
    me = process(os.getpid())
    assert marker.own() == {marker.VARIABLE: f"{me.pid}:{me.started}"}
