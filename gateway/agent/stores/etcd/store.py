"""The devices that several members share, in etcd.

A **change** is one transaction of etcd, on the condition that device and number are still what this member believes.
So no two members give away one number, or change one device, without the second of them knowing of the first. The copy
follows. While etcd is away (`trouble`) a change fails at once; `following` looks each second whether it is back.

An answer of etcd may get lost. The call is made again then, at the next member, and finds what it has done itself.
A **removal** is kept in the copy first. If etcd cannot be told, the device is a revoked one from then on, also for the
next agent on this volume, and whoever lets devices in asks for the removal again (`expiry`).
"""

import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gateway.agent.pieces import pieces
from gateway.agent.store import REVOKED, Device, NumberTakenError, PostponedError, Sighting, StoreError, TakenError
from gateway.agent.stores.etcd.following import Following
from gateway.agent.stores.etcd.records import (
    AT_ONCE,
    Part,
    Record,
    delete,
    encoded,
    has_value,
    has_version,
    put,
    record,
    value,
    was_created,
)
from gateway.agent.stores.etcd.transactions import TXN, Outcome, outcome, request
from gateway.agent.stores.measured import measured

log = logging.getLogger(__name__)

_FASTER = "another member has changed this device, or given its address away, just before; try again"


class EtcdStore(Following):
    """All devices of a gateway, and a copy of them. `Store` says what the methods do."""

    is_shared = True

    def everyone(self) -> list[Device]:
        """All devices, as the copy has them."""
        return [one.known for one in self._copy.all().values()]

    def has(self, public_key: str) -> bool:
        """Whether etcd has this device now."""
        with self._written():
            done = self._transact([was_created(self._names.device(public_key), 0)], [], [])
            self._check(self._copy.state.identity if done.succeeded else done.identity)
        return not done.succeeded

    def newest_number(self) -> int:
        """The number that was given out last, by whichever member."""
        return self._copy.state.newest

    def client_networks(self) -> set[str]:
        """The networks that the devices' addresses are of."""
        return set(self._copy.state.networks)

    def note(self, sightings: Iterable[Sighting]) -> None:
        """Keep where this member has seen devices, in the copy alone: it changes every minute."""
        self._copy.note(sightings)

    def add(self, device: Device) -> None:
        """Add a device, and the claim of its number."""
        names, key, text = self._names, device.public_key, encoded(device, uuid.uuid4().hex)
        place, claim = names.device(key), names.number(device.number)
        with self._written():
            done = self._transact(
                [was_created(place, 0), was_created(claim, 0)],
                [put(place, text), put(claim, key), put(names.newest, str(device.number))],
                [place, claim],
            )
            if place not in done.found and claim in done.found:
                raise NumberTakenError(_FASTER)
            self._keep(self._done(done, device, text, created=done.revision))

    def replace(self, device: Device) -> None:
        """Change a device, if it is still what the copy has."""
        key, text = device.public_key, encoded(device, uuid.uuid4().hex)
        place = self._names.device(key)
        with self._written():
            known = self._copy.get([key]).get(key)
            if known is None:
                raise TakenError(_FASTER)
            if encoded(device) == encoded(known.device):
                self._must(self._transact([has_version(place, known.version)], [], []))
                self._keep(replace(known, device=device, is_revoked=False))
                return
            if device.expires_at == REVOKED:
                self._journal([key])
            done = self._transact([has_version(place, known.version)], [put(place, text)], [place])
            self._keep(self._done(done, device, text, created=known.created))

    def remove(self, devices: Sequence[Device]) -> None:
        """Remove devices and their claims; PostponedError where that is kept for later.

        A revoked one goes if it is the same device still, any other only if nobody has changed it, as by a new ttl.
        """
        revoked = {device.public_key for device in devices if device.expires_at == REVOKED}
        is_kept = bool(revoked) and self._journal(revoked)
        known = self._copy.get(device.public_key for device in devices).items()
        try:
            with self._written():
                for some in pieces([replace(one, is_revoked=key in revoked) for key, one in known], AT_ONCE):
                    self._remove(some)
        except StoreError as error:
            if is_kept:
                raise PostponedError(str(error)) from error
            raise

    def try_write(self) -> None:
        """Fail as long as the last look has not found etcd well. `news` looks, and holds up nobody by it."""
        if self.trouble:
            raise StoreError(self.trouble)

    def settle(self, client_networks: Iterable[str], moved: Mapping[str, int]) -> None:
        """Move devices to other numbers, some at a time; then say which networks these are of."""
        networks = sorted(client_networks)
        known = list(self._copy.get(moved).values())
        with self._written():
            for some in pieces(known, AT_ONCE // 2):
                self._move([(one, replace(one.device, number=moved[one.device.public_key])) for one in some])
            self._must(self._transact([], [put(self._names.networks, json.dumps(networks))], []))
            self._copy.keep((), state=replace(self._copy.state, networks=frozenset(networks)))

    def _move(self, some: Sequence[tuple[Record, Device]]) -> None:
        names = self._names
        conditions, changes = [], []
        for old, new in some:
            place, claim = names.device(new.public_key), names.number(new.number)
            conditions += [has_version(place, old.version), was_created(claim, 0)]
            changes += [put(place, encoded(new)), put(claim, new.public_key), delete(names.number(old.device.number))]
        done = self._transact(conditions, changes, [])
        self._must(done)
        self._keep(*(replace(old, device=new, version=done.revision) for old, new in some))

    def _remove(self, some: Sequence[Record]) -> None:
        names = self._names
        conditions, changes = [], []
        for one in some:
            place, claim = names.device(one.device.public_key), names.number(one.device.number)
            conditions.append(was_created(place, one.created) if one.is_revoked else has_version(place, one.version))
            conditions.append(has_value(claim, one.device.public_key))
            changes += [delete(place), delete(claim)]
        done = self._transact(conditions, changes, [names.device(one.device.public_key) for one in some])
        if done.succeeded:
            self._forget([one.device.public_key for one in some], done.revision)
            return
        self._check(done.identity)
        for one in some:  # somebody was faster with one of them, or it has another number now
            pair = done.found.get(names.device(one.device.public_key))
            if pair is None or int(pair["create_revision"]) != one.created:
                self._keep(gone=[one.device.public_key])  # it is gone; a new device with its key is another one
            elif one.is_revoked or int(pair["mod_revision"]) == one.version:
                self._remove_as_it_is(record(pair))

    def _remove_as_it_is(self, one: Record) -> None:
        place, claim = self._names.device(one.device.public_key), self._names.number(one.device.number)
        done = self._transact([has_version(place, one.version)], [delete(place), delete(claim)], [])
        self._must(done)
        self._forget([one.device.public_key], done.revision)

    def _forget(self, public_keys: Sequence[str], revision: int) -> None:
        self._removed |= dict.fromkeys(public_keys, revision)
        self._keep(gone=public_keys)

    def _transact(self, conditions: Sequence[Part], do: Sequence[Part], asked: Sequence[str]) -> Outcome:
        identity = self._copy.state.identity or ""
        answer = self._etcd.call(TXN, request(self._names, identity, conditions, do, asked))
        return outcome(answer, self._names)

    def _done(self, done: Outcome, device: Device, text: str, created: int) -> Record:
        """What a device is now that this text was put there; TakenError if somebody was faster."""
        if done.succeeded:
            return Record(device, created, done.revision)
        self._check(done.identity)
        pair = done.found.get(self._names.device(device.public_key))
        if pair is None or value(pair) != text:
            raise TakenError(_FASTER)
        # The transaction was made already, and its answer got lost.
        return Record(device, int(pair["create_revision"]), int(pair["mod_revision"]))

    def _must(self, done: Outcome) -> None:
        """StoreError if a transaction was not made."""
        if not done.succeeded:
            self._check(done.identity)
            raise TakenError(_FASTER)

    @measured
    @contextmanager
    def _written(self) -> Iterator[None]:
        """A change; while etcd is known to be away it is not tried."""
        self.try_write()
        yield

    def _keep(self, *records: Record, gone: Sequence[str] = ()) -> None:
        """Take a change that etcd has into the copy; if that fails, the watch brings it once more."""
        try:
            self._copy.keep(records, gone)
        except StoreError as error:
            log.warning("%s", error)

    def _journal(self, public_keys: Iterable[str]) -> bool:
        """Remember a removal; whether that could be done."""
        try:
            self._copy.revoke(public_keys)
        except StoreError as error:
            log.warning("%s", error)
            return False
        return True
