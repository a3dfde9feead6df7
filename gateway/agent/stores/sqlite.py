"""Devices on the volume: SQLite, every change on the disk (synchronous=FULL) before the call returns.

Whatever SQLite has to say against a call is a StoreError, and then the call has changed nothing. `sqlite_versions` has
the tables.
"""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from gateway.agent.store import Device, News, Sighting, StoreError, TakenError
from gateway.agent.stores.files import open_alone, transaction
from gateway.agent.stores.measured import measured
from gateway.agent.stores.sqlite_versions import bring_up_to_date

_COLUMNS = (
    "number, public_key, protocol, certified_key, name, preshared_key, created_at, expires_at, endpoint, "
    "last_handshake, server_key"
)
_VALUES = ", ".join(f":{column}" for column in _COLUMNS.split(", "))
_INSERT = f"INSERT INTO peers ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608 - constants


class SqliteStore:
    """All devices, by public key. One process has the file at a time."""

    is_shared = False

    trouble: str | None = None
    """Why the last write failed, if it did."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = open_alone(path)
            self._db.row_factory = sqlite3.Row
            bring_up_to_date(self._db)
        except (OSError, sqlite3.Error, ValueError) as error:
            raise StoreError(f"devices cannot be kept in {path}: {error}") from error

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._db.close()

    async def news(self) -> AsyncGenerator[News, None]:
        """None ever: nobody else changes the file."""
        await asyncio.Future()
        yield dict

    def add(self, device: Device) -> None:
        """Add a device that is not known yet, under a number that is free."""
        with self._transaction():
            self._db.execute(_INSERT, asdict(device))
            self._db.execute("UPDATE pool SET newest = ?", (device.number,))

    def fill(self, devices: Iterable[Device], newest_number: int, client_networks: Iterable[str]) -> None:
        """Keep all that another store kept, at once; nothing is kept yet."""
        with self._transaction():
            self._db.executemany(_INSERT, [asdict(device) for device in devices])
            self._db.execute("UPDATE pool SET newest = ?", (newest_number,))
            self._db.executemany(
                "INSERT INTO client_networks (network) VALUES (?)", [(network,) for network in client_networks]
            )

    def replace(self, device: Device) -> None:
        """Change all that is known of a device but its number, its protocol and its key."""
        with self._transaction():
            changed = self._db.execute(
                "UPDATE peers SET name = :name, preshared_key = :preshared_key, created_at = :created_at, "
                "expires_at = :expires_at, endpoint = :endpoint, last_handshake = :last_handshake, "
                "server_key = :server_key "
                "WHERE public_key = :public_key",
                asdict(device),
            )
            if not changed.rowcount:
                raise TakenError("the store of devices has no such device")

    def remove(self, devices: Sequence[Device]) -> None:
        """Forget devices, all of them or none."""
        with self._transaction():
            self._db.executemany("DELETE FROM peers WHERE public_key = ?", [(one.public_key,) for one in devices])

    def note(self, sightings: Iterable[Sighting]) -> None:
        """Keep where devices were last seen; unknown ones are passed over."""
        with self._transaction():
            self._db.executemany(
                "UPDATE peers SET endpoint = ?, last_handshake = ?, server_key = ? WHERE public_key = ?",
                [(seen.endpoint, seen.last_handshake, seen.server_key, seen.public_key) for seen in sightings],
            )

    def try_write(self) -> None:
        """Write what is there already."""
        with self._transaction():
            self._db.execute("UPDATE pool SET newest = newest")

    def has(self, public_key: str) -> bool:
        """Whether this device is known."""
        return any(self._read("SELECT 1 FROM peers WHERE public_key = ?", public_key))

    def everyone(self) -> list[Device]:
        """All devices."""
        return [Device(**row) for row in self._read(f"SELECT {_COLUMNS} FROM peers")]  # noqa: S608 - a constant

    def newest_number(self) -> int:
        """The number that was given out last; 0 before the first."""
        ((newest,),) = self._read("SELECT newest FROM pool")
        return int(newest)

    def client_networks(self) -> set[str]:
        """The networks that the devices' addresses are of; empty if nobody has said it yet."""
        return {network for (network,) in self._read("SELECT network FROM client_networks")}

    def settle(self, client_networks: Iterable[str], moved: Mapping[str, int]) -> None:
        """Keep the networks that addresses are of from now on, and the new numbers of devices, which must be free."""
        with self._transaction():
            self._db.execute("DELETE FROM client_networks")
            self._db.executemany(
                "INSERT INTO client_networks (network) VALUES (?)", [(network,) for network in client_networks]
            )
            self._db.executemany(
                "UPDATE peers SET number = ? WHERE public_key = ?", [(number, key) for key, number in moved.items()]
            )

    def _read(self, query: str, *values: str) -> Iterator[sqlite3.Row]:
        try:
            yield from self._db.execute(query, values)
        except sqlite3.Error as error:
            raise StoreError(f"the store of devices cannot be read: {error}") from error

    @measured
    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with transaction(self._db):
                yield
        except sqlite3.IntegrityError as error:
            raise TakenError(f"the store of devices has this device, or another at its address: {error}") from error
        except sqlite3.Error as error:
            raise StoreError(f"the store of devices cannot be written: {error}") from error
