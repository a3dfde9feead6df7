"""Things that are slow to make, kept under the hash of what they were made from."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_IGNORED = {"__pycache__", ".mypy_cache", ".ruff_cache"}


def fingerprint(*inputs: str | Path) -> str:
    """Return the SHA-256, in hex, of texts, files and whole directories, in the given order.

    Of a file count its content and whether it is executable, of a directory also the relative
    names within; where they lie does not count, so every clone of the work tree agrees.
    """
    total = hashlib.sha256()
    for entry in inputs:
        for part in _parts(entry):
            total.update(hashlib.sha256(part).digest())
    return total.hexdigest()


def _parts(entry: str | Path) -> Iterator[bytes]:
    """Yield what counts of one input."""
    if isinstance(entry, str):
        yield entry.encode()
    elif entry.is_dir():
        for file in sorted(entry.rglob("*")):
            relative = file.relative_to(entry)
            if file.is_file() and _IGNORED.isdisjoint(relative.parts):
                yield str(relative).encode()
                yield from _parts(file)
    else:
        yield b"x" if os.access(entry, os.X_OK) else b"-"
        yield entry.read_bytes()


def keep(entry: Path, make: Callable[[Path], None]) -> Path:
    """Return `entry`, a file or directory of the cache; when it is not there, have it made.

    `make` is given a path beside it to write to, which becomes `entry` in one rename: an
    interrupted run leaves no half-made entry, and of two runs at once the first one's stays.
    """
    if entry.exists():
        return entry
    entry.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=entry.parent) as workshop:
        made = Path(workshop) / entry.name
        make(made)
        if not entry.exists():
            made.rename(entry)
    return entry


def drop_oldest(entries: Iterable[Path], kept: int) -> None:
    """Remove files of the cache but for the `kept` latest of them."""
    for entry in sorted(entries, key=lambda entry: entry.stat().st_mtime_ns, reverse=True)[kept:]:
        entry.unlink()
