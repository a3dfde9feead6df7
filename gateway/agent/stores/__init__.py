"""Where devices are kept: one module or room for each kind of store. What all of them answer is in `store`."""

from pathlib import Path

from gateway.agent.settings import AgentSettings
from gateway.agent.store import Store, StoreError
from gateway.agent.stores import files
from gateway.agent.stores.sqlite import SqliteStore


def open_store(settings: AgentSettings) -> Store:
    """The store that the settings name; StoreError if it cannot be used.

    Devices in a store that was left without moving them are a mistake: they would all be shut out.
    """
    try:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"MESHGATE_STATE_DIR: {settings.state_dir} cannot be made: {error.strerror}") from error
    sqlite, copy = settings.state_dir / files.SQLITE, settings.state_dir / files.ETCD_COPY
    if settings.store == "sqlite":
        _refuse_to_leave(copy, "etcd", "sqlite")
        return SqliteStore(sqlite)
    _refuse_to_leave(sqlite, "sqlite", "etcd")
    return open_etcd(settings)


def open_etcd(settings: AgentSettings) -> Store:
    """etcd, and the copy of it; it is loaded only where it is used."""
    from gateway.agent.stores.etcd.copy import MemberCopy
    from gateway.agent.stores.etcd.credentials import etcd
    from gateway.agent.stores.etcd.store import EtcdStore

    return EtcdStore(etcd(settings), settings.etcd_prefix, MemberCopy(settings.state_dir / files.ETCD_COPY))


def _refuse_to_leave(file: Path, before: str, after: str) -> None:
    if file.exists():
        raise StoreError(
            f"MESHGATE_STORE is {after}, and {file} has the devices of {before}: run "
            f"`python -m gateway.agent.move_devices {before} {after}`, or remove that file to give them up"
        )
