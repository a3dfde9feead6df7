"""etcd's store as devices move out of it or into it: the identity in etcd says how far that has come."""

import json
import uuid
from dataclasses import replace
from pathlib import Path

from gateway.agent.pieces import pieces
from gateway.agent.store import Device, StoreError
from gateway.agent.stores.etcd.client import Etcd
from gateway.agent.stores.etcd.copy import MemberCopy, merged
from gateway.agent.stores.etcd.identity import check
from gateway.agent.stores.etcd.records import (
    AT_ONCE,
    Names,
    Part,
    delete_below,
    encoded,
    has_value,
    put,
    was_created,
)
from gateway.agent.stores.etcd.transactions import TXN, identity, listing, outcome, request
from gateway.agent.stores.files import MOVED, remove
from gateway.agent.stores.moving import Everything, Phase


class EtcdHome:
    """The devices below a prefix, and the copy of the member that moves them."""

    def __init__(self, etcd: Etcd, prefix: str, copy: Path) -> None:
        self._etcd = etcd
        self._names = Names(prefix)
        self._copy = copy

    def phase(self) -> Phase:
        """By the identity, which nobody else uses while it is one of these words."""
        now = identity(self._etcd, self._names)
        if now is None:
            return Phase.EMPTY
        return Phase(now) if now in {phase.value for phase in Phase} else Phase.IN_USE

    def leave(self) -> Everything:
        """What etcd has, with what this member alone knows: where devices were seen, and who is revoked."""
        now = identity(self._etcd, self._names)
        try:
            copy = MemberCopy(self._copy)
        except StoreError as error:
            raise StoreError(f"{error}; the agent must not run while its devices move") from error
        try:
            if now != Phase.LEAVING.value:
                check(now, copy.state.identity, self._names.root, self._copy)
                self._become(Phase.LEAVING.value, now)
            found = listing(self._etcd, self._names, 0)
            known = copy.all()
        finally:
            copy.close()
        records = [merged(one, known.get(one.device.public_key)) for one in found.changed]
        devices = sorted((one.known for one in records), key=lambda device: device.number)
        return Everything(tuple(devices), found.newest, found.networks)

    def left(self) -> None:
        """Who still uses it is told so."""
        if identity(self._etcd, self._names) == Phase.LEAVING.value:
            self._become(Phase.LEFT.value, Phase.LEAVING.value)
        if self._copy.exists():
            self._copy.rename(self._copy.with_name(f"{self._copy.name}{MOVED}"))

    def fill(self, everything: Everything) -> None:
        """Anew from the beginning, however far it had come."""
        names = self._names
        self._become(Phase.FILLING.value, identity(self._etcd, self._names))
        self._write([delete_below(names.devices), delete_below(names.numbers)])
        for some in pieces(everything.devices, AT_ONCE):
            self._write(
                [put(names.device(device.public_key), encoded(device)) for device in some]
                + [put(names.number(device.number), device.public_key) for device in some]
            )
        networks = json.dumps(sorted(everything.client_networks))
        self._write([put(names.newest, str(everything.newest_number)), put(names.networks, networks)])
        self._read_again(everything.devices)

    def open(self) -> None:
        """From now on these are somebody's devices."""
        if identity(self._etcd, self._names) == Phase.FILLING.value:
            self._become(uuid.uuid4().hex, Phase.FILLING.value)

    def _read_again(self, devices: tuple[Device, ...]) -> None:
        """See that all is there, and give this member's copy what etcd does not keep."""
        found = {one.device.public_key: one for one in listing(self._etcd, self._names, 0).changed}
        if {key: encoded(one.device) for key, one in found.items()} != {
            one.public_key: encoded(one) for one in devices
        }:
            raise StoreError(f"etcd does not have below {self._names.root} what was written there")
        remove(self._copy)
        copy = MemberCopy(self._copy)
        copy.keep(replace(found[device.public_key], device=device) for device in devices)
        copy.close()

    def _become(self, now: str, before: str | None) -> None:
        name = self._names.identity
        condition = was_created(name, 0) if before is None else has_value(name, before)
        answer = self._etcd.call(TXN, {"compare": [condition], "success": [put(name, now)]})
        if not answer.get("succeeded") and identity(self._etcd, self._names) != now:
            raise self._moved_by_others()

    def _write(self, changes: list[Part]) -> None:
        done = outcome(self._etcd.call(TXN, request(self._names, Phase.FILLING.value, [], changes, [])), self._names)
        if not done.succeeded:
            raise self._moved_by_others()

    def _moved_by_others(self) -> StoreError:
        return StoreError(f"somebody else moves devices from or to etcd's prefix {self._names.root} just now")
