"""SQLite's store as devices move out of it or into it: the file's name says how far that has come."""

from pathlib import Path

from gateway.agent.store import StoreError
from gateway.agent.stores.files import MOVED, remove
from gateway.agent.stores.moving import Everything, Phase
from gateway.agent.stores.sqlite import SqliteStore


class SqliteHome:
    """The file of one member. Whoever has it open has it alone, so no agent runs meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._moved = path.with_name(f"{path.name}{MOVED}")
        self._filling = path.with_name(f"{path.name}.filling")
        self._store: SqliteStore | None = None

    def phase(self) -> Phase:
        """By which of the files are there."""
        files = {self._path: Phase.IN_USE, self._filling: Phase.FILLING, self._moved: Phase.LEFT}
        return next((phase for file, phase in files.items() if file.exists()), Phase.EMPTY)

    def leave(self) -> Everything:
        """What the file has; it stays locked."""
        try:
            self._store = store = SqliteStore(self._path)
        except StoreError as error:
            raise StoreError(f"{error}; the agent must not run while its devices move") from error
        return _everything(store)

    def left(self) -> None:
        """The file gets another name."""
        if self._store:
            self._store.close()
        if self._path.exists():
            self._path.rename(self._moved)

    def fill(self, everything: Everything) -> None:
        """Into a file of another name."""
        remove(self._filling)
        store = SqliteStore(self._filling)
        try:
            store.fill(everything.devices, everything.newest_number, everything.client_networks)
            if _everything(store) != everything:
                raise StoreError(f"{self._filling} does not have what was written there")
        finally:
            store.close()

    def open(self) -> None:
        """The file gets its name."""
        if self._filling.exists():
            self._filling.rename(self._path)
        remove(self._moved)


def _everything(store: SqliteStore) -> Everything:
    devices = sorted(store.everyone(), key=lambda device: device.number)
    return Everything(tuple(devices), store.newest_number(), frozenset(store.client_networks()))
