"""The user's own Pulumi: on PATH, new enough, and with its host for Python programs.

A command that finds none says in one sentence how to get it.
"""

import os
import sys
from pathlib import Path

from console import programs
from console.errors import StepError

AT_LEAST, BELOW = (3, 182, 0), (4, 0, 0)
"""From 3.182.0 on Pulumi has resource hooks, by which a stack leaves alone what is not its own."""

HOST = "pulumi-language-python"
"""Runs Python programs. Pulumi looks for it beside itself and on PATH."""

QUIET = {"PULUMI_SKIP_UPDATE_CHECK": "true"}

_GET = {"darwin": "brew install pulumi/tap/pulumi"}
_GET_ANYWHERE = "curl -fsSL https://get.pulumi.com | sh"


def find() -> Path:
    """The directory with Pulumi's programs; raises StepError when they are missing or do not fit."""
    pulumi = programs.find("pulumi")
    if pulumi is None:
        raise StepError(f"Pulumi is not on PATH: {_remedy()}")
    version = programs.version(pulumi, ("version",), QUIET)
    if version is None:
        raise StepError(f"{pulumi} does not tell its version: {_remedy()}")
    if not AT_LEAST <= version < BELOW:
        raise StepError(
            f"{pulumi} is Pulumi {programs.written(version)}, and {programs.written(AT_LEAST)} or newer "
            f"(below {programs.written(BELOW)}) is needed: {_remedy()}"
        )
    # A package manager may put a link on PATH: the host lies beside the file itself.
    if not any((directory / HOST).exists() for directory in (pulumi.parent, pulumi.resolve().parent)) and (
        programs.find(HOST) is None
    ):
        raise StepError(f"{pulumi} has no {HOST} beside it or on PATH, which runs Python programs: {_remedy()}")
    return pulumi.parent


def environment(directory: Path) -> dict[str, str]:
    """What to add to the environment of the Pulumi in a directory: its programs and this Python come first on PATH."""
    search = (str(directory), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    return {"PATH": os.pathsep.join(search), **QUIET}


def _remedy() -> str:
    return f"`{_GET.get(sys.platform, _GET_ANYWHERE)}` gets it."
