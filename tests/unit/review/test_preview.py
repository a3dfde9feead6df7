"""A preview as a process: what is run, and what is told of one that is late."""

from pathlib import Path

import pytest

from review import preview
from review.report import Report, Verdict


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory whose `pulumi` is a script, and all that its command may need of the system: no GNU tools."""
    monkeypatch.setenv("PATH", "")
    return tmp_path


def review(programs: Path) -> Report:
    return preview.preview("dev", programs, {}, preview.Options())


def says(programs: Path, script: str) -> None:
    program = programs / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_it_needs_no_program_but_pulumi(programs: Path) -> None:
    says(programs, """echo '{"summaryEvent": {}}'""")
    assert review(programs).verdict == Verdict.UNCHANGED


def test_one_that_takes_too_long_says_so_in_a_sentence(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "DEADLINE_SECONDS", 0.5)
    says(programs, "trap 'exit 1' INT; while :; do :; done")
    report = review(programs)
    assert report.verdict == Verdict.FAILED
    assert report.errors == ("Could not preview dev: pulumi was not done within 0.5 s.",)


def test_one_that_fails_says_why_itself(programs: Path) -> None:
    says(programs, "echo 'error: no stack named dev found'; exit 255")
    assert review(programs).errors == ("no stack named dev found",)
