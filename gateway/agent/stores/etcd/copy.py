"""What a member knows without etcd: a copy of all devices on its own volume (SQLite).

With it the agent starts, and traffic goes on, while etcd is away. It also has what only this member knows: where it has
last seen each device, and who was revoked here while etcd could not be told.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.agent.store import Sighting, StoreError
from gateway.agent.stores.etcd.records import Record, decoded, encoded
from gateway.agent.stores.files import open_alone, transaction

_TABLES = """
CREATE TABLE IF NOT EXISTS copied (
    public_key TEXT PRIMARY KEY,
    device TEXT NOT NULL,
    created INTEGER NOT NULL,
    version INTEGER NOT NULL,
    is_revoked INTEGER NOT NULL DEFAULT 0,
    endpoint TEXT,
    last_handshake INTEGER NOT NULL DEFAULT 0,
    server_key TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    identity TEXT,
    revision INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    networks TEXT NOT NULL
) STRICT;
INSERT OR IGNORE INTO state VALUES (1, NULL, 0, 0, '');
"""
_ROW = "device, created, version, is_revoked, endpoint, last_handshake, server_key"


@dataclass(frozen=True)
class State:
    """What a member knows of etcd besides the devices."""

    identity: str | None = None
    revision: int = 0
    """Up to here all changes are in the copy."""
    newest: int = 0
    networks: frozenset[str] = frozenset()


class MemberCopy:
    """The file. One process has it at a time; StoreError where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._db = open_alone(path)
            self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"no copy of the devices can be kept in {path}: {error}") from error
        self.state = self._read_state()

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    def all(self) -> dict[str, Record]:
        """All devices, by their public keys, with what only this member knows."""
        with self._trouble("read"):
            return dict(map(_record, self._db.execute(f"SELECT {_ROW} FROM copied")))  # noqa: S608 - a constant

    def get(self, public_keys: Iterable[str]) -> dict[str, Record]:
        """Those of these that it has."""
        found: dict[str, Record] = {}
        with self._trouble("read"):
            for key in public_keys:
                rows = self._db.execute(f"SELECT {_ROW} FROM copied WHERE public_key = ?", (key,))  # noqa: S608
                found.update(map(_record, rows))
        return found

    def keys(self) -> set[str]:
        """The public keys of all devices."""
        with self._trouble("read"):
            return {key for (key,) in self._db.execute("SELECT public_key FROM copied")}

    def keep(self, records: Iterable[Record], gone: Iterable[str] = (), state: State | None = None) -> None:
        """Take up what these devices are now, who is gone, and what else etcd says."""
        with self._transaction():
            self._db.executemany("DELETE FROM copied WHERE public_key = ?", [(key,) for key in gone])
            self._db.executemany(
                f"INSERT OR REPLACE INTO copied (public_key, {_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                [_row(one) for one in records],
            )
            if state:
                self._db.execute(
                    "UPDATE state SET identity = ?, revision = ?, newest = ?, networks = ?",
                    (state.identity, state.revision, state.newest, " ".join(sorted(state.networks))),
                )
        if state:
            self.state = state

    def revoke(self, public_keys: Iterable[str]) -> None:
        """These are revoked, though etcd may not know it yet."""
        with self._transaction():
            self._db.executemany(
                "UPDATE copied SET is_revoked = 1 WHERE public_key = ?", [(key,) for key in public_keys]
            )

    def note(self, sightings: Iterable[Sighting]) -> None:
        """Keep where devices were last seen; unknown ones are passed over."""
        with self._transaction():
            self._db.executemany(
                "UPDATE copied SET endpoint = ?, last_handshake = ?, server_key = ? WHERE public_key = ?",
                [(seen.endpoint, seen.last_handshake, seen.server_key, seen.public_key) for seen in sightings],
            )

    def _read_state(self) -> State:
        with self._trouble("read"):
            ((identity, revision, newest, networks),) = self._db.execute(
                "SELECT identity, revision, newest, networks FROM state"
            )
        return State(identity, revision, newest, frozenset(networks.split()))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._trouble("written"), transaction(self._db):
            yield

    @contextmanager
    def _trouble(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            raise StoreError(f"the copy of the devices, {self.path}, cannot be {what}: {error}") from error


def _row(one: Record) -> tuple[object, ...]:
    device = one.device
    seen = (device.endpoint, device.last_handshake, device.server_key)
    return device.public_key, encoded(device), one.created, one.version, int(one.is_revoked), *seen


def _record(row: tuple[str, int, int, int, str | None, int, str | None]) -> tuple[str, Record]:
    text, created, version, is_revoked, endpoint, last_handshake, server_key = row
    device = replace(decoded(text), endpoint=endpoint, last_handshake=last_handshake, server_key=server_key)
    return device.public_key, Record(device, created, version, bool(is_revoked))


def merged(new: Record, old: Record | None) -> Record:
    """What etcd says now of a device, with what only this member knows of it; a new one of the same key begins anew."""
    if old is None or old.created != new.created:
        return new
    seen = old.device
    device = replace(new.device, endpoint=seen.endpoint, last_handshake=seen.last_handshake, server_key=seen.server_key)
    return replace(new, device=device, is_revoked=old.is_revoked)
