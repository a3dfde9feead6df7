"""Progress: one line per step, on a terminal and elsewhere."""

import io
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from console import progress
from console.progress import step
from tests.deadlines import wait_for


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=written, highlight=False, soft_wrap=True))
    return written


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    written = io.StringIO()
    monkeypatch.setattr(progress, "console", Console(file=written, force_terminal=True, width=200))
    return written


def test_a_short_step_is_one_line_with_its_seconds(output: io.StringIO) -> None:
    with step("Start the node"):
        assert output.getvalue() == ""
    assert re.fullmatch(r"✓ Start the node  0\.\d s\n", output.getvalue())


def test_a_long_step_says_so_before_it_starts(output: io.StringIO) -> None:
    with step("Build kube", expected_seconds=450):
        assert output.getvalue() == "• Build kube (about 450 s) …\n"
    assert re.fullmatch(r"✓ Build kube  0\.\d s", output.getvalue().splitlines()[-1])


def test_a_step_that_takes_long_says_now_and_then_what_it_is_at(
    output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FIRST_WORD", 0.02)
    monkeypatch.setattr(progress, "NEXT_WORD", 0.02)
    with step("Start the node") as current:
        for note in ("etcd", "kubelet"):
            current.now(note)
            line = f"• Start the node: {note} …\n"
            wait_for(lambda: line in output.getvalue(), line)  # noqa: B023 (asked within this turn)


def test_what_others_print_meanwhile_has_lines_of_its_own(output: io.StringIO) -> None:
    with step("Build kube", expected_seconds=450):
        output.write("a warning\n")
    assert output.getvalue().splitlines()[1] == "a warning"


def test_the_last_note_is_part_of_the_line(output: io.StringIO) -> None:
    with step("Start the node") as current:
        current.now("waiting for etcd")
        current.now("ready")
    assert re.fullmatch(r"✓ Start the node: ready  0\.\d s\n", output.getvalue())


def test_a_failed_step_is_marked_and_its_error_goes_on(output: io.StringIO) -> None:
    with pytest.raises(ValueError, match="no"), step("Try"):
        raise ValueError("no")
    assert re.fullmatch(r"✗ Try  0\.\d s\n", output.getvalue())


def test_brackets_in_a_text_are_shown_as_they_are(output: io.StringIO) -> None:
    with step("Wait for [bold] 10.0.0.1", expected_seconds=1):
        assert "[bold]" in output.getvalue()
    assert "[bold]" in output.getvalue().splitlines()[-1]


def test_a_terminal_ends_with_the_same_single_line(terminal: io.StringIO) -> None:
    with step("Start [it]") as current:
        current.now("waiting [for] etcd")
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).splitlines()[-1]
    assert re.search(r"✓ Start \[it\]: waiting \[for\] etcd  0\.\d s", last)


def test_steps_at_the_same_time_end_with_a_line_each(terminal: io.StringIO) -> None:
    with step("Build kube"), ThreadPoolExecutor(1) as other:
        other.submit(_short_step).result()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).splitlines()
    assert [line.partition("✓ ")[2].partition("  ")[0] for line in lines if "✓" in line] == ["Install", "Build kube"]


def _short_step() -> None:
    with step("Install"):
        time.sleep(0.05)
