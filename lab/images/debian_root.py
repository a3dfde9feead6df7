"""Debian root file systems, from the archive that this machine's own apt uses."""

from pathlib import Path

from console import environment
from console.run import run
from lab import paths

SUITE = "bookworm"

OPTIONS = (
    # What the official slim variant leaves out as well.
    "--variant=minbase",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
)


def bootstrap(target: Path, *options: str) -> None:
    """Make a small root file system: a tar archive, or a directory when the name has no ending.

    Raises StepError, with mmdebstrap's log, when it cannot be made.
    """
    run(
        ("mmdebstrap", "--mode=root", *OPTIONS, *options, SUITE, target),
        doing="make a Debian root file system",
        log=paths.cache() / "logs" / "mmdebstrap.log",
        base=environment.downloading(),
        contained=True,
    )
