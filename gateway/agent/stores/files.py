"""The files of stores in MESHGATE_STATE_DIR, and how one of SQLite is opened and changed."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SQLITE = "peers.sqlite"
ETCD_COPY = "etcd-copy.sqlite"
"""What a member knows of the devices in etcd."""
MOVED = ".moved"
"""The end of the name of a file whose devices have moved into another store."""


def open_alone(path: Path) -> sqlite3.Connection:
    """A file that this process has alone, made if it is not there; each change is on the disk when it is committed."""
    path.touch(mode=0o600)  # preshared keys are in it
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    for setting in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {setting}")
    return db


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and on the disk at the end."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # SQLite has ended some by itself, as when the disk is full
            db.execute("ROLLBACK")
        raise


def remove(path: Path) -> None:
    """Remove a file of SQLite, with what SQLite has beside it."""
    for beside in ("-wal", "-shm", ""):
        path.with_name(f"{path.name}{beside}").unlink(missing_ok=True)
