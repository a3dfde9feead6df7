"""Whose devices etcd has below a prefix: those that this member knows, others, or some that are just being moved."""

from pathlib import Path

from gateway.agent.store import StoreError
from gateway.agent.stores.moving import Phase

_TO_ITS_END = "run `python -m gateway.agent.move_devices` to its end"
_SENTENCES = {
    Phase.FILLING.value: f"devices are being moved into it; {_TO_ITS_END}",
    Phase.LEAVING.value: f"its devices are being moved into another store; {_TO_ITS_END}",
    Phase.LEFT.value: "its devices were moved into another store; say which by MESHGATE_STORE",
}


def check(found: str | None, own: str | None, prefix: str, copy: Path) -> None:
    """StoreError unless the identity in etcd is this member's own; any is, for a member that has none yet."""
    if found is not None and (sentence := _SENTENCES.get(found)):
        raise StoreError(f"etcd's prefix {prefix} is not in use: {sentence}")
    if found is None:
        raise StoreError(
            f"etcd has nothing below {prefix} any more, and this member knows devices: restore etcd's snapshot, set "
            f"MESHGATE_ETCD_PREFIX or MESHGATE_ETCD_ENDPOINTS right, or remove {copy} to begin without devices"
        )
    if own not in {None, found}:
        raise StoreError(
            f"etcd has other devices below {prefix} than this member knows: set MESHGATE_ETCD_PREFIX or "
            f"MESHGATE_ETCD_ENDPOINTS right, or remove {copy} to take up what etcd has"
        )
