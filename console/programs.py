"""The user's own programs, as they are on PATH."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from console.errors import StepError
from console.run import capture

Version = tuple[int, int, int]


def find(name: str) -> Path | None:
    """The program's file on PATH."""
    found = shutil.which(name)
    return Path(found) if found else None


def version(program: Path, arguments: Sequence[str], env: Mapping[str, str] | None = None) -> Version | None:
    """The first version in what the program prints; None when it prints none, or fails."""
    try:
        answer = capture((program, *arguments), doing=f"ask {program} for its version", env=env)
    except StepError:
        return None
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def written(numbers: Version) -> str:
    """A version as people write it."""
    return ".".join(map(str, numbers))
