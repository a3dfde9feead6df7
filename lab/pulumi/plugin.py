"""Pulumi's Kubernetes plugin for the lab: the official one wherever it can be had, else our stand-in."""

import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from console import environment
from console.errors import StepError
from console.progress import Step, step
from console.run import run
from lab import paths

NAME = "pulumi-resource-kubernetes"
VERSION = version("pulumi-kubernetes")
"""The plugin's version is the SDK's."""

DIRECTORY = f"resource-kubernetes-v{VERSION}"
"""Where Pulumi looks for it, below plugins/ of its home."""

_STAND_IN = "lab.kubernetes_plugin"
_STALLED_SECONDS = 8.0
"""How long a download may stand still: so much an offline machine waits, and one that moves has its time."""
_RETRY_SECONDS = 3600.0
"""How long a refusal is remembered, so that not every run waits for the next."""


def ensure(pulumi: Path, variables: Mapping[str, str]) -> None:
    """Install the plugin into the lab's PULUMI_HOME; a stand-in is made to be this clone's.

    A stand-in does not stay for good: the official plugin takes its place as soon as it can be had.
    """
    home = _home()
    if _official(home):
        return
    own = Path.home() / ".pulumi" / "plugins" / DIRECTORY
    if _official(own):
        _clear(home)
        home.symlink_to(own)
        return
    if _worth_a_try():
        with step(f"Get Pulumi's Kubernetes plugin {VERSION}") as current:
            if _download(pulumi, variables, current):
                return
            current.now("not within reach, so the lab's own stand-in takes its place")
    write_stand_in(home)


def is_stand_in() -> bool:
    """Say whether the lab's stand-in is what is installed."""
    return not _official(_home())


def _home() -> Path:
    return paths.PULUMI_HOME / "plugins" / DIRECTORY


def _official(directory: Path) -> bool:
    program = directory / NAME
    if not program.exists():
        return False
    with program.open("rb") as content:
        return _STAND_IN.encode() not in content.read(4096)


def _clear(home: Path) -> None:
    """Make room for a plugin, whatever is there now."""
    if home.is_symlink():
        home.unlink()
    elif home.exists():
        shutil.rmtree(home)
    home.parent.mkdir(parents=True, exist_ok=True)


def _refusal() -> Path:
    """The file whose age is that of the latest refusal; another lab of this machine need not ask at once either."""
    return paths.cache() / "kubernetes-plugin-refused"


def _worth_a_try() -> bool:
    refusal = _refusal()
    return not (refusal.exists() and 0 <= time.time() - refusal.stat().st_mtime < _RETRY_SECONDS)


def _download(pulumi: Path, variables: Mapping[str, str], current: Step) -> bool:
    """Install the official plugin, aside until it is whole; a refusal is remembered."""
    aside = paths.PULUMI_HOME / "download"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        arrived = _install(pulumi, variables, aside, current)
        if arrived:
            _clear(_home())
            (aside / "plugins" / DIRECTORY).rename(_home())
        else:
            _refusal().parent.mkdir(parents=True, exist_ok=True)
            _refusal().touch()
        return arrived
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _install(pulumi: Path, variables: Mapping[str, str], home: Path, current: Step) -> bool:
    """Let Pulumi install the plugin into a home of its own; say whether it did."""
    archive = home / "tmp"
    archive.mkdir(parents=True)

    def moving() -> int:
        size = _size(home)
        current.now(f"{size / 1e6:.0f} MB" if size else "")
        return size

    try:
        run(
            (pulumi, "plugin", "install", "resource", "kubernetes", f"v{VERSION}"),
            doing="download Pulumi's Kubernetes plugin",
            log=paths.LOGS / "kubernetes-plugin.log",
            # Pulumi downloads into TMPDIR, then unpacks below its home.
            base=environment.downloading(),
            env={**variables, "PULUMI_HOME": str(home), "TMPDIR": str(archive)},
            deadline_seconds=_STALLED_SECONDS,
            moving=moving,
        )
    except StepError:
        return False
    return _official(home / "plugins" / DIRECTORY)


def _size(directory: Path) -> int:
    """The bytes of all files below a directory, some of which may go meanwhile."""
    size = 0
    for root, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):
                size += (Path(root) / name).lstat().st_size
    return size


def write_stand_in(directory: Path) -> None:
    """Make the stand-in what Pulumi starts as the plugin in that directory: this clone's, by this Python."""
    if directory.is_symlink():
        directory.unlink()
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / NAME
    repository, python = shlex.quote(str(paths.REPOSITORY)), shlex.quote(sys.executable)
    content = f'#!/bin/sh\nPYTHONPATH={repository} exec {python} -m {_STAND_IN} "$@"\n'
    if not program.exists() or program.read_text() != content:
        program.write_text(content)
    program.chmod(0o755)
