"""How a member follows what others change in etcd: by a watch, after it has asked for what it missed.

Its copy says how far it has come. Each piece of news is taken up while the member changes nothing itself (`Devices`).
"""

import logging
import uuid
from asyncio import sleep, to_thread
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

from gateway.agent.store import Device, News, StoreError
from gateway.agent.stores.etcd.client import Etcd
from gateway.agent.stores.etcd.complaints import CompactedError
from gateway.agent.stores.etcd.copy import MemberCopy, State, merged
from gateway.agent.stores.etcd.identity import check
from gateway.agent.stores.etcd.records import Names, Part, Record, below, in_text, put, records, was_created
from gateway.agent.stores.etcd.transactions import TXN, Listing, identity, listing, outcome, request

log = logging.getLogger(__name__)

AGAIN_AFTER_S = 0.5
"""After a watch was lost."""


class Following:
    """The copy of a member, kept in line with etcd."""

    def __init__(self, etcd: Etcd, prefix: str, copy: MemberCopy) -> None:
        """StoreError where etcd is away and there is no copy yet."""
        self.trouble: str | None = None
        self._etcd = etcd
        self._names = Names(prefix)
        self._copy = copy
        self._removed: dict[str, int] = {}
        """Keys that were removed here, and by which revision, until the watch has come that far."""
        self._is_behind = False
        """Whether more was missed than a watch can tell."""
        try:
            self._join()
        except StoreError as error:
            if copy.state.identity is None:
                self.close()
                raise
            self.trouble = str(error)
            log.warning("the devices are those that this member knew last: %s", error)

    def close(self) -> None:
        """Let go of etcd and of the copy."""
        self._etcd.close()
        self._copy.close()

    def _join(self) -> None:
        """Take up what etcd has; where it has nothing yet, begin."""
        name = self._names.identity
        if self._copy.state.identity is None:
            begin = {"compare": [was_created(name, 0)], "success": [put(name, uuid.uuid4().hex)]}
            self._etcd.call(TXN, begin)
        found = listing(self._etcd, self._names, self._copy.state.revision, self._copy.keys())
        self._check(found.identity)
        self._take_up_listing(found)

    async def news(self) -> AsyncGenerator[News, None]:
        """What other members change, from what the copy has on; and a look at etcd each second."""
        async with self._etcd.beside():
            while True:
                if self.trouble:
                    await self._look()
                if not self.trouble:
                    async with aclosing(self._new()) as new:
                        async for one in new:
                            yield one
                await sleep(AGAIN_AFTER_S)

    async def _new(self) -> AsyncGenerator[News, None]:
        """What was missed, and then what comes, until the watch is lost."""
        try:
            if self._is_behind:
                found = await to_thread(listing, self._etcd, self._names, self._copy.state.revision)
                self._check(found.identity)
                yield partial(self._take_up_listing, found)
                self._is_behind = False
            else:
                self._check(await to_thread(identity, self._etcd, self._names))
            async with aclosing(self._watch()) as watch:
                async for one in watch:
                    yield one
        except CompactedError as error:
            log.info("%s: this member asks for all that is new", error)
            self._is_behind = True
        except StoreError as error:
            log.warning("changes of other members are not heard for a moment: %s", error)
            await self._look()

    async def _watch(self) -> AsyncGenerator[News, None]:
        devices = below(self._names.devices)
        answers = self._etcd.watch(devices["key"], devices["range_end"], self._copy.state.revision)
        async with aclosing(answers):
            async for answer in answers:
                if answer is None:
                    if self.trouble:
                        await self._look()
                elif events := answer.get("events"):
                    revision = int(answer["header"]["revision"])
                    yield partial(self._take_up_events, events, revision)
                    if self._copy.state.revision < revision:
                        return  # it could not be kept, so it is asked for again

    async def _look(self) -> None:
        """See whether etcd can be written, and remember what is wrong."""
        probe = request(self._names, self._copy.state.identity or "", [], [put(self._names.written, "")], [])
        try:
            done = outcome(await self._etcd.probe(TXN, probe), self._names)
            if not done.succeeded:
                self._check(done.identity)
        except StoreError as error:
            self.trouble = str(error)
        else:
            self.trouble = None

    def _take_up_listing(self, found: Listing) -> Mapping[str, Device | None]:
        state = State(found.identity, found.revision, found.newest, found.networks)
        left = set() if found.public_keys is None else self._copy.keys() - found.public_keys
        gone = dict.fromkeys(left, found.revision)
        return self._take_up(found.changed, gone, state)

    def _take_up_events(self, events: Sequence[Part], revision: int) -> Mapping[str, Device | None]:
        last = {event["kv"]["key"]: event for event in events}.values()
        gone = {
            in_text(event["kv"]["key"]).removeprefix(self._names.devices): int(event["kv"]["mod_revision"])
            for event in last
            if event.get("type") == "DELETE"
        }
        changed = records(event["kv"] for event in last if event.get("type") != "DELETE")
        new = [one for one in changed if one.created == one.version]
        newest = max(new, key=lambda one: one.created).device.number if new else self._copy.state.newest
        return self._take_up(changed, gone, replace(self._copy.state, revision=revision, newest=newest))

    def _take_up(self, changed: Sequence[Record], gone: Mapping[str, int], state: State) -> Mapping[str, Device | None]:
        """What is new in that, against the copy, which takes it up; this member's own changes are not."""
        known = self._copy.get([*(one.device.public_key for one in changed), *gone])
        new = []
        for one in changed:
            old = known.get(one.device.public_key)
            if one.version > (old.version if old else self._removed.get(one.device.public_key, 0)):
                new.append(merged(one, old))
        left = [key for key, revision in gone.items() if key in known and revision > known[key].version]
        self._removed = {key: revision for key, revision in self._removed.items() if revision > state.revision}
        try:
            self._copy.keep(new, left, state)
        except StoreError as error:
            log.warning("%s", error)
        return {**dict.fromkeys(left), **{one.device.public_key: one.known for one in new}}

    def _check(self, found: str | None) -> None:
        """StoreError unless etcd has the devices that this member knows."""
        check(found, self._copy.state.identity, self._names.root, self._copy.path)
