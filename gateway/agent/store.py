"""Devices on the volume: SQLite, every change on the disk (synchronous=FULL) before the call returns.

The methods block for the time of a disk write; `devices` calls them from one thread of their own.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.agent.errors import NameTakenError
from gateway.agent.store_watch import watched

_SCHEMA = """
CREATE TABLE IF NOT EXISTS peers (
    number INTEGER PRIMARY KEY,
    public_key TEXT NOT NULL UNIQUE,
    name TEXT UNIQUE,
    preshared_key TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    endpoint TEXT,
    last_handshake INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS peers_by_expiry ON peers (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS pool (one INTEGER PRIMARY KEY CHECK (one = 1), newest INTEGER NOT NULL) STRICT;
INSERT OR IGNORE INTO pool VALUES (1, 0);
"""


class StoreError(Exception):
    """The volume does not hold a usable store; the text says which file and why."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device that may come in. Times are whole seconds since 1970; `last_handshake` 0 means never seen."""

    number: int
    public_key: str
    name: str | None = None
    preshared_key: str | None = field(default=None, repr=False)
    created_at: int
    expires_at: int | None = None
    endpoint: str | None = None
    last_handshake: int = 0


@dataclass(frozen=True)
class Sighting:
    """Where a device was last heard from: its endpoint (address:port) and the time of its handshake."""

    public_key: str
    endpoint: str
    last_handshake: int


class Store:
    """All devices, by public key. One process has the file at a time."""

    trouble: str | None = None
    """Why the last write failed, if it did."""

    def __init__(self, path: Path) -> None:
        try:
            path.touch(mode=0o600)  # preshared keys are in it
            self._db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"devices cannot be kept in {path}: {error}") from error

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    def add(self, device: Device) -> None:
        """Add a device that is not known yet; NameTakenError if its name is another's."""
        with self._transaction(device):
            self._db.execute(
                "INSERT INTO peers VALUES (:number, :public_key, :name, :preshared_key, :created_at, :expires_at, "
                ":endpoint, :last_handshake)",
                vars(device),
            )
            self._db.execute("UPDATE pool SET newest = ?", (device.number,))

    def replace(self, device: Device) -> None:
        """Change what a known device says of itself; NameTakenError if its name is another's."""
        with self._transaction(device):
            self._db.execute(
                "UPDATE peers SET name = :name, preshared_key = :preshared_key, expires_at = :expires_at "
                "WHERE public_key = :public_key",
                vars(device),
            )

    def remove(self, public_keys: Sequence[str]) -> None:
        """Forget devices, all of them or none."""
        with self._transaction():
            self._db.executemany("DELETE FROM peers WHERE public_key = ?", [(key,) for key in public_keys])

    def note(self, sightings: Iterable[Sighting]) -> None:
        """Keep where devices were last seen; unknown ones are passed over."""
        with self._transaction():
            self._db.executemany(
                "UPDATE peers SET endpoint = ?, last_handshake = ? WHERE public_key = ?",
                [(seen.endpoint, seen.last_handshake, seen.public_key) for seen in sightings],
            )

    def try_write(self) -> None:
        """Write what is there already."""
        with self._transaction():
            self._db.execute("UPDATE pool SET newest = newest")

    def find(self, public_key: str) -> Device | None:
        """The device with this key, if known."""
        found = self._devices("SELECT * FROM peers WHERE public_key = ?", public_key)
        return found[0] if found else None

    def page(self, after: int, limit: int) -> list[Device]:
        """At most `limit` devices in the order of their numbers, from the first above `after`."""
        return self._devices("SELECT * FROM peers WHERE number > ? ORDER BY number LIMIT ?", after, limit)

    def everyone(self) -> list[Device]:
        """All devices."""
        return self._devices("SELECT * FROM peers")

    def expired(self, now: int) -> list[Device]:
        """Devices whose time is over."""
        return self._devices("SELECT * FROM peers WHERE expires_at <= ?", now)

    def newest_number(self) -> int:
        """The number that was given out last; 0 before the first."""
        (newest,) = self._db.execute("SELECT newest FROM pool").fetchone()
        return int(newest)

    def _devices(self, query: str, *values: object) -> list[Device]:
        return [Device(**row) for row in self._db.execute(query, values)]

    @watched
    @contextmanager
    def _transaction(self, device: Device | None = None) -> Iterator[None]:
        """All or nothing, and on the disk at the end."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if device is not None and "peers.name" in str(error):
                raise NameTakenError(f"the name {device.name!r} belongs to another peer", "name") from error
            raise StoreError(f"the store of devices cannot be written: {error}") from error
