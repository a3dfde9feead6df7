import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lab import paths
from lab.processes import daemon
from lab.processes.daemon import Daemon, Process
from tests.deadlines import wait_for


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "RUN", tmp_path / "run")
    monkeypatch.setattr(paths, "LOGS", tmp_path / "logs")
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[Daemon]:
    one = Daemon("sleeper")
    one.start(["sleep", "60"])
    yield one
    one.stop()


def test_a_daemon_is_known_again_and_ends(sleeper: Daemon) -> None:
    process = Daemon("sleeper").process()
    assert process is not None
    assert process.alive
    assert [one.name for one in daemon.daemons()] == ["sleeper"]
    sleeper.stop()
    assert not process.alive
    assert sleeper.process() is None
    assert list(daemon.daemons()) == []
    sleeper.stop()


def test_a_process_id_that_went_to_somebody_else_is_left_alone(sleeper: Daemon) -> None:
    process = sleeper.process()
    assert process is not None
    other = Daemon("other")
    other.pid_file.write_text(json.dumps({"pid": process.pid, "started": process.started - 1}))
    assert other.process() is None
    other.stop()
    assert process.alive


def test_a_clock_that_is_set_loses_no_daemon(sleeper: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    set_forward = psutil.boot_time() + 3600
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: set_forward)
    assert psutil.boot_time() == set_forward
    assert sleeper.process() is not None


def test_a_zombie_does_not_run() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = daemon.running(child.pid)
    assert process is not None
    child.kill()
    wait_for(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, "the child's end")
    assert not process.alive
    assert daemon.running(child.pid) is None
    child.wait()


def test_a_command_name_with_brackets_does_not_confuse(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([odd, "60"])
    try:
        process = daemon.running(child.pid)
        assert process is not None
        assert abs(process.started - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
    finally:
        child.kill()
        child.wait()


def test_a_daemon_gets_a_clean_environment_and_a_log(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example")
    one = Daemon("env")
    one.start(
        [sys.executable, "-c", "import os, time; print(dict(os.environ), flush=True); time.sleep(60)"], {"A": "b"}
    )
    wait_for(one.log.read_text, "what it prints")
    printed = one.log.read_text()
    one.stop()
    assert "'A': 'b'" in printed
    assert "PATH" in printed
    assert "proxy" not in printed


def test_a_dead_process_needs_no_killing() -> None:
    Process(pid=2**22 - 1, started=1).kill()
