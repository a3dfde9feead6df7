"""What the lab changes on this machine outside of its two directories, written down before it is done.

`lab.giving_back` undoes it, or tells how to.
"""

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from lab import paths


class ChangeKind(StrEnum):
    """What is changed: Debian packages that were not there, kernel modules, controllers of cgroup version 2."""

    PACKAGES = "packages"
    MODULES = "modules"
    CONTROLLERS = "controllers"


def note(kind: ChangeKind, names: Iterable[str]) -> None:
    """Write down that these were not there before."""
    everything = {one.value: noted(one) for one in ChangeKind}
    everything[kind] = sorted({*everything[kind], *names})
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(everything, indent=2))
    draft.replace(file)


def noted(kind: ChangeKind) -> list[str]:
    """Return what was written down of a kind."""
    if not _file().exists():
        return []
    names: list[str] = json.loads(_file().read_text())[kind]
    return names


def _file() -> Path:
    """Return the file that outlives the lab itself: packages stay after `down`, too."""
    return paths.cache() / "changes.json"
