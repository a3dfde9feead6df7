"""Pulumi's Kubernetes plugin for the lab: the official one wherever it can be had, else our stand-in."""

import shlex
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from console import environment
from console.errors import StepError
from console.progress import step
from console.run import capture
from lab import paths

NAME = "pulumi-resource-kubernetes"
VERSION = version("pulumi-kubernetes")
"""The plugin's version is the SDK's."""

DIRECTORY = f"resource-kubernetes-v{VERSION}"
"""Where Pulumi looks for it, below plugins/ of its home."""

_STAND_IN = "lab.kubernetes_plugin"
_DOWNLOAD_SECONDS = 30


def ensure(pulumi: Path, variables: Mapping[str, str]) -> None:
    """Install the plugin into the lab's PULUMI_HOME; a stand-in is made to be this clone's."""
    home = paths.PULUMI_HOME / "plugins" / DIRECTORY
    if _official(home):
        return
    if not home.exists():
        with step(f"Get Pulumi's Kubernetes plugin {VERSION}") as current:
            own = Path.home() / ".pulumi" / "plugins" / DIRECTORY
            if _official(own):
                current.now("the one that is installed")
                home.parent.mkdir(parents=True, exist_ok=True)
                home.symlink_to(own)
                return
            if _download(pulumi, variables):
                return
            current.now("not within reach, so the lab's own stand-in takes its place")
    write_stand_in(home)


def is_stand_in() -> bool:
    """Say whether the lab's stand-in is what is installed."""
    return not _official(paths.PULUMI_HOME / "plugins" / DIRECTORY)


def _official(directory: Path) -> bool:
    program = directory / NAME
    return program.exists() and _STAND_IN.encode() not in program.read_bytes()[:4096]


def _download(pulumi: Path, variables: Mapping[str, str]) -> bool:
    install = ("plugin", "install", "resource", "kubernetes", f"v{VERSION}")
    command = ["timeout", f"{_DOWNLOAD_SECONDS}s", str(pulumi), *install]
    try:
        capture(command, doing="download Pulumi's Kubernetes plugin", base=environment.downloading(), env=variables)
    except StepError:
        return False
    return True


def write_stand_in(directory: Path) -> None:
    """Make the stand-in what Pulumi starts as the plugin in that directory: this clone's, by this Python."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / NAME
    repository, python = shlex.quote(str(paths.REPOSITORY)), shlex.quote(sys.executable)
    content = f'#!/bin/sh\nPYTHONPATH={repository} exec {python} -m {_STAND_IN} "$@"\n'
    if not program.exists() or program.read_text() != content:
        program.write_text(content)
    program.chmod(0o755)
