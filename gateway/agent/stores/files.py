"""The files of stores in MESHGATE_STATE_DIR."""

from pathlib import Path

SQLITE = "peers.sqlite"
ETCD_COPY = "etcd-copy.sqlite"
"""What a member knows of the devices in etcd."""
MOVED = ".moved"
"""The end of the name of a file whose devices have moved into another store."""


def remove(path: Path) -> None:
    """Remove a file of SQLite, with what SQLite has beside it."""
    for beside in ("-wal", "-shm", ""):
        path.with_name(f"{path.name}{beside}").unlink(missing_ok=True)
