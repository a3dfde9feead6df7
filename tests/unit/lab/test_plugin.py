"""Which Kubernetes plugin the lab has: the official one as soon as it can be had, else the stand-in."""

import os
import time
from pathlib import Path

import pytest

from lab import paths
from lab.pulumi import plugin

OFFICIAL = "\x7fELF the official one"
UNPACKS = f"""
mkdir -p "$PULUMI_HOME/plugins/{plugin.DIRECTORY}"
printf '{OFFICIAL}' > "$PULUMI_HOME/plugins/{plugin.DIRECTORY}/{plugin.NAME}"
"""


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab without a plugin, on a machine whose user has none; `pulumi` is a script."""
    monkeypatch.setattr(paths, "PULUMI_HOME", tmp_path / "pulumi-home")
    monkeypatch.setattr(paths, "LOGS", tmp_path / "logs")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def installed() -> str:
    return (paths.PULUMI_HOME / "plugins" / plugin.DIRECTORY / plugin.NAME).read_text()


def ensure(lab: Path, script: str) -> None:
    """Ask for the plugin, by a Pulumi that notes that it was asked."""
    pulumi = lab / "pulumi"
    pulumi.write_text(f"#!/bin/sh\necho asked >> {lab}/asked\n{script}\n")
    pulumi.chmod(0o755)
    plugin.ensure(pulumi, {})


def times_asked(lab: Path) -> int:
    file = lab / "asked"
    return len(file.read_text().splitlines()) if file.exists() else 0


def an_hour_later() -> None:
    past = time.time() - 3601
    os.utime(paths.cache() / "kubernetes-plugin-refused", (past, past))


def test_what_can_be_had_is_installed_and_asked_for_no_more(lab: Path) -> None:
    for _ in range(2):
        ensure(lab, UNPACKS)
    assert installed() == OFFICIAL
    assert not plugin.is_stand_in()
    assert times_asked(lab) == 1


def test_where_it_cannot_be_had_the_stand_in_takes_its_place_and_an_hour_later_there_is_another_chance(
    lab: Path,
) -> None:
    for _ in range(2):
        ensure(lab, "exit 255")
        assert str(paths.REPOSITORY) in installed()
        assert plugin.is_stand_in()
    assert times_asked(lab) == 1
    an_hour_later()
    ensure(lab, UNPACKS)
    assert installed() == OFFICIAL


def test_a_download_that_stands_still_is_given_up(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_STALLED_SECONDS", 1)
    started = time.monotonic()
    ensure(lab, f"sleep 60\n{UNPACKS}")
    assert plugin.is_stand_in()
    assert time.monotonic() - started < 20
    assert sorted(entry.name for entry in paths.PULUMI_HOME.iterdir()) == ["plugins"]


def test_a_download_that_moves_has_its_time(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "_STALLED_SECONDS", 2)
    moves = 'for i in 1 2 3 4 5 6; do echo more >> "$TMPDIR/archive"; sleep 0.5; done'
    ensure(lab, f"{moves}\n{UNPACKS}")
    assert installed() == OFFICIAL


def test_a_success_without_a_plugin_is_none(lab: Path) -> None:
    ensure(lab, "true")
    assert plugin.is_stand_in()


def test_the_users_own_is_taken_as_soon_as_it_is_there_and_missed_when_it_goes(lab: Path) -> None:
    ensure(lab, "exit 255")
    own = lab / ".pulumi" / "plugins" / plugin.DIRECTORY
    own.mkdir(parents=True)
    (own / plugin.NAME).write_text(OFFICIAL)
    ensure(lab, "exit 255")
    assert installed() == OFFICIAL
    (own / plugin.NAME).unlink()
    own.rmdir()
    ensure(lab, "exit 255")
    assert plugin.is_stand_in()
    assert times_asked(lab) == 1


def test_a_stand_in_becomes_this_clones(lab: Path) -> None:
    program = paths.PULUMI_HOME / "plugins" / plugin.DIRECTORY / plugin.NAME
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nPYTHONPATH=/other/clone exec python -m lab.kubernetes_plugin\n")
    ensure(lab, "exit 255")
    assert str(paths.REPOSITORY) in installed()
    assert program.stat().st_mode & 0o111
