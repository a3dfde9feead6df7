"""The user's Pulumi: which is taken, and what is said of one that is missing or does not fit."""

import os
import sys
from pathlib import Path

import pytest

from console import pulumi_cli
from console.errors import StepError

CURL, BREW = "`curl -fsSL https://get.pulumi.com | sh` gets it.", "`brew install pulumi/tap/pulumi` gets it."


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only directory on PATH."""
    directory = tmp_path / "path"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr(sys, "platform", "linux")
    return directory


def program(file: Path, says: str = "") -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{says}\n")
    file.chmod(0o755)


def refusal() -> str:
    with pytest.raises(StepError) as caught:
        pulumi_cli.find()
    return caught.value.sentence


@pytest.mark.parametrize("version", ["v3.182.0", "v3.259.0", "3.300.1-dev.0"])
def test_one_that_fits_is_taken(path: Path, version: str) -> None:
    program(path / "pulumi", f"echo {version}")
    program(path / "pulumi-language-python")
    assert pulumi_cli.find() == path


def test_its_host_may_lie_elsewhere_on_path(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(path / "pulumi", "echo v3.200.0")
    program(tmp_path / "other" / "pulumi-language-python")
    monkeypatch.setenv("PATH", str(tmp_path / "other"), prepend=os.pathsep)
    assert pulumi_cli.find() == path


def test_its_host_may_lie_beside_what_a_link_names(path: Path, tmp_path: Path) -> None:
    program(tmp_path / "cellar" / "pulumi", "echo v3.200.0")
    program(tmp_path / "cellar" / "pulumi-language-python")
    (path / "pulumi").symlink_to(tmp_path / "cellar" / "pulumi")
    assert pulumi_cli.find() == path


@pytest.mark.parametrize(("platform", "remedy"), [("linux", CURL), ("darwin", BREW)])
@pytest.mark.usefixtures("path")
def test_who_has_none_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch, platform: str, remedy: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert refusal() == f"Pulumi is not on PATH: {remedy}"


@pytest.mark.parametrize("version", ["3.150.0", "3.181.9", "4.0.0"])
def test_one_that_is_too_old_or_too_new(path: Path, version: str) -> None:
    program(path / "pulumi", f"echo v{version}")
    program(path / "pulumi-language-python")
    assert refusal() == (f"{path}/pulumi is Pulumi {version}, and 3.182.0 or newer (below 4.0.0) is needed: {CURL}")


@pytest.mark.parametrize("says", ["exit 1", "echo nothing"])
def test_one_that_does_not_run(path: Path, says: str) -> None:
    program(path / "pulumi", says)
    assert refusal() == f"{path}/pulumi does not tell its version: {CURL}"


def test_one_without_its_host(path: Path) -> None:
    program(path / "pulumi", "echo v3.200.0")
    assert refusal() == (
        f"{path}/pulumi has no pulumi-language-python beside it or on PATH, which runs Python programs: {CURL}"
    )
