"""Running programs: their output, their errors, their end."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from console.errors import DeadlineError, StepError
from console.run import capture, run
from tests.deadlines import wait_for


def test_output_goes_into_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    run(("sh", "-c", "echo out; echo err >&2"), doing="talk", log=log)
    assert log.read_text() == "out\nerr\n"


def test_a_failure_names_the_work_and_shows_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with pytest.raises(StepError) as caught:
        run(("sh", "-c", "seq 100; exit 3"), doing="count", log=log)
    assert caught.value.sentence == "Could not count: sh ended with status 3."
    assert "    100\n" in str(caught.value)
    assert "    50\n" not in str(caught.value)
    assert str(log) in str(caught.value)


def test_capture_returns_stdout_alone() -> None:
    assert capture(("sh", "-c", "echo out; echo err >&2"), doing="talk") == "out\n"


def test_capture_reports_the_last_line_of_stderr() -> None:
    with pytest.raises(StepError, match=r"^Could not talk: sh ended with status 4: the reason$"):
        capture(("sh", "-c", "echo noise >&2; echo the reason >&2; exit 4"), doing="talk")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(StepError, match=r"^Could not talk: there is no no-such-program\.$"):
        capture(("no-such-program",), doing="talk")


def interrupt_as_soon_as(*moments: Callable[[], bool]) -> None:
    """Press Ctrl-C at each of these moments."""

    def press() -> None:
        for come in moments:
            wait_for(come, "the moment")
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=press).start()


def assert_ended(pid: str) -> None:
    def ended() -> bool:
        try:
            return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_for(ended, "the end of the command's child")


CHILD = "sleep 60 & echo $! > child.new; mv child.new child"


def test_an_interrupt_ends_the_command_and_its_children(tmp_path: Path) -> None:
    child = tmp_path / "child"
    interrupt_as_soon_as(child.exists)
    with pytest.raises(KeyboardInterrupt):
        run(("sh", "-c", f"{CHILD}; wait"), doing="sleep", log=tmp_path / "log", cwd=tmp_path)
    assert_ended(child.read_text())


def test_a_command_that_may_finish_is_told_alone(tmp_path: Path) -> None:
    """Its child hears of no interrupt while it finishes, and ends with it at last."""
    child, finished = tmp_path / "child", tmp_path / "finished"
    finish = "kill -0 $(cat child) && sleep 0.3 && kill -0 $(cat child) && touch finished; exit 0"
    interrupt_as_soon_as(child.exists)
    with pytest.raises(KeyboardInterrupt):
        run(
            ("bash", "-c", f"trap '{finish}' INT; {CHILD}; wait"),
            doing="finish",
            log=tmp_path / "log",
            cwd=tmp_path,
            finish_seconds=30,
        )
    assert finished.exists()
    assert_ended(child.read_text())


def test_a_second_interrupt_does_not_wait_for_it_to_finish(tmp_path: Path) -> None:
    child, told = tmp_path / "child", tmp_path / "told"
    interrupt_as_soon_as(child.exists, told.exists)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(
            ("bash", "-c", f"trap 'touch told' INT; {CHILD}; while true; do sleep 0.1; done"),
            doing="finish",
            log=tmp_path / "log",
            cwd=tmp_path,
            finish_seconds=30,
        )
    assert time.monotonic() - started < 10
    assert_ended(child.read_text())


def test_sigterm_ends_the_lab_as_ctrl_c_does(tmp_path: Path) -> None:
    """A command in a session of its own, under the CLI's own handling of signals."""
    program = (
        "import sys; from pathlib import Path; from lab import cli; from console.run import run\n"
        "@cli.app.command()\n"
        f"def sleep() -> None: run(('sh', '-c', '{CHILD}; wait'), doing='sleep', log=Path('log'), cwd=Path('.'))\n"
        "sys.argv = ['lab', 'sleep']\n"
        "cli.main()\n"
    )
    child = tmp_path / "child"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as lab:
        wait_for(child.exists, "the command", within=20)
        lab.send_signal(signal.SIGTERM)
        _, said = lab.communicate()
    assert lab.returncode == 130
    assert "`make up` goes on from here" in said
    assert "Traceback" not in said
    assert_ended(child.read_text())


def test_the_output_can_be_followed(tmp_path: Path) -> None:
    lines: list[str] = []
    script = "echo one; until [ -e seen ]; do sleep 0.05; done; echo two"

    def follow(line: str) -> None:
        lines.append(line)
        (tmp_path / "seen").touch()

    run(("sh", "-c", script), doing="talk", log=tmp_path / "log", cwd=tmp_path, follow=follow)
    assert lines[0] == "one"
    assert (tmp_path / "log").read_text() == "one\ntwo\n"


def ignore(_: str) -> None:
    pass


@pytest.mark.parametrize("follow", [None, ignore])
def test_a_command_that_is_late_is_ended_with_its_children(
    tmp_path: Path, follow: Callable[[str], object] | None
) -> None:
    log = tmp_path / "log"
    with pytest.raises(DeadlineError) as caught:
        run(
            ("sh", "-c", f"echo begun; {CHILD}; wait"),
            doing="sleep",
            log=log,
            cwd=tmp_path,
            follow=follow,
            deadline_seconds=1,
        )
    assert caught.value.sentence == "Could not sleep: sh was not done within 1 s."
    assert "    begun" in str(caught.value)
    assert_ended((tmp_path / "child").read_text())


def test_a_late_command_may_finish_what_it_is_at(tmp_path: Path) -> None:
    script = "trap 'echo finished; exit' INT; while true; do sleep 0.1; done"
    log = tmp_path / "log"
    with pytest.raises(DeadlineError):
        run(("bash", "-c", script), doing="finish", log=log, finish_seconds=30, deadline_seconds=1)
    assert log.read_text() == "finished\n"


def test_what_is_captured_has_a_deadline_too(tmp_path: Path) -> None:
    with pytest.raises(DeadlineError, match=r"^Could not sleep: sh was not done within 0\.5 s\.$"):
        capture(("sh", "-c", f"{CHILD}; wait"), doing="sleep", cwd=tmp_path, deadline_seconds=0.5)
    assert_ended((tmp_path / "child").read_text())


def test_what_moves_is_not_late(tmp_path: Path) -> None:
    """It takes longer than its deadline, and each second there is something new."""
    grown = tmp_path / "grown"
    grown.touch()
    script = "for i in 1 2 3 4 5 6; do echo more >> grown; sleep 0.5; done"
    command = ("sh", "-c", script)
    run(command, doing="grow", log=tmp_path / "log", cwd=tmp_path, deadline_seconds=2, moving=grown.read_text)
    with pytest.raises(DeadlineError):
        run(command, doing="grow", log=tmp_path / "log", cwd=tmp_path, deadline_seconds=2, moving=lambda: "the same")


def test_who_keeps_the_deadline_hears_nothing_of_it(tmp_path: Path) -> None:
    run(("true",), doing="nothing", log=tmp_path / "log", deadline_seconds=30)
    assert capture(("echo", "done"), doing="say", deadline_seconds=30) == "done\n"


def test_capture_gives_the_command_its_input() -> None:
    assert capture(("cat",), doing="echo", stdin="secret") == "secret"


def test_env_is_added_to_the_environment() -> None:
    program = "import os; print(os.environ['LAB_WORD'], 'PATH' in os.environ)"
    assert capture((sys.executable, "-c", program), doing="look", env={"LAB_WORD": "hello"}) == "hello True\n"
    assert "LAB_WORD" not in os.environ
