"""Running programs: their output, their errors, their end."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.run import capture, run


def test_output_goes_into_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    run(("sh", "-c", "echo out; echo err >&2"), doing="talk", log=log)
    assert log.read_text() == "out\nerr\n"


def test_a_failure_names_the_work_and_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with pytest.raises(LabError) as caught:
        run(("sh", "-c", "seq 100; exit 3"), doing="count", log=log)
    assert caught.value.sentence == "Could not count: sh ended with status 3."
    assert "    100\n" in str(caught.value)
    assert "    50\n" not in str(caught.value)
    assert str(log) in str(caught.value)


def test_capture_returns_stdout_alone() -> None:
    assert capture(("sh", "-c", "echo out; echo err >&2"), doing="talk") == "out\n"


def test_capture_reports_the_last_line_of_stderr() -> None:
    with pytest.raises(LabError, match=r"^Could not talk: sh ended with status 4: the reason$"):
        capture(("sh", "-c", "echo noise >&2; echo the reason >&2; exit 4"), doing="talk")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(LabError, match=r"^Could not talk: there is no no-such-program\.$"):
        capture(("no-such-program",), doing="talk")


def test_an_interrupt_ends_the_command_and_its_children(tmp_path: Path) -> None:
    children = tmp_path / "children"
    script = f"sleep 60 & echo $! > {children}.new; mv {children}.new {children}; wait"

    def interrupt_when_started() -> None:
        while not children.exists():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt_when_started).start()
    with pytest.raises(KeyboardInterrupt):
        run(("sh", "-c", script), doing="sleep", log=tmp_path / "log")
    child = Path("/proc") / children.read_text().strip()
    deadline = time.monotonic() + 5
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.01)


def test_env_is_added_to_the_environment() -> None:
    program = "import os; print(os.environ['LAB_WORD'], 'PATH' in os.environ)"
    assert capture((sys.executable, "-c", program), doing="look", env={"LAB_WORD": "hello"}) == "hello True\n"
    assert "LAB_WORD" not in os.environ
