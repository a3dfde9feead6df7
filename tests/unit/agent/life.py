"""The agent's life in random order, compared with a model of what was acknowledged.

Devices and store are the real ones. The interface may be away or fail, the disk may be full, each clock may jump, and
the agent may be killed at every step of a change. `tests/prove` runs the same, for longer.
"""

import asyncio
import base64
import random
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from gateway.agent.command import CommandError
from gateway.agent.errors import DeviceUnknownError, PoolFullError, UnavailableError
from gateway.agent.expiry import KEPT_S
from gateway.agent.protocols.wireguard.wg import WantedPeer
from gateway.agent.registration import Admission, Registration
from gateway.agent.store import REVOKED, Device, ProtocolName, StoreError
from gateway.agent.stores.sqlite import SqliteStore
from tests.unit.agent.fakes import FakeDataPlane
from tests.unit.agent.gateway import Gateway

KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in (2, 3, 4)]
OPENVPN = KEYS[2]
"""This device comes by a protocol that is always well; the others by the interface."""
SECRETS = [base64.b64encode(bytes([number]) * 32).decode() for number in (20, 21)]
NETWORKS = (ip_network("10.77.0.0/29"), ip_network("fd77::/126"))
CAPACITY = 2
CHOICES: dict[str, list[Any]] = {
    "name": [None, "a", "b"],
    "ttl_seconds": [None, 10, 1000],
    "preshared_key": [None, *SECRETS],
}
STEPS = ["before the store", "in the store", "after the store", "before the interface", "after the interface"]
KILLED_ONE_IN = 8
LAST = 20
SECONDS = [1, 10, 500, 1000]
ACTIONS = {
    "register": 10,
    "revoke": 4,
    "expire": 4,
    "reconcile": 4,
    "time_passes": 4,
    "the_clock_jumps": 8,
    "the_disk_changes": 2,
    "the_interface_changes": 3,
    "a_handshake": 1,
    "crash": 1,
}
"""How often each comes, by comparison."""


class Killed(BaseException):
    """The agent is dead."""


class Killer:
    """Kills the agent at one step of a change, if there is such a step."""

    def __init__(self) -> None:
        self.step: str | None = None

    def passes(self, step: str) -> None:
        if self.step == step:
            raise Killed


class MortalStore(SqliteStore):
    def __init__(self, path: Path, killer: Killer) -> None:
        self._killer = killer
        super().__init__(path)
        self._db.execute("PRAGMA synchronous = OFF")  # it is the agent that dies here, not the machine

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._killer.passes("before the store")
        with super()._transaction():
            yield
            self._killer.passes("in the store")
        self._killer.passes("after the store")


class MortalPlane(FakeDataPlane):
    def __init__(self, killer: Killer) -> None:
        super().__init__()
        self._killer = killer

    async def set_peer(self, peer: WantedPeer) -> None:
        self._killer.passes("before the interface")
        await super().set_peer(peer)
        self._killer.passes("after the interface")

    async def remove_peers(self, public_keys: Sequence[str]) -> None:
        self._killer.passes("before the interface")
        await super().remove_peers(public_keys)
        self._killer.passes("after the interface")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What must be known of a device."""

    addresses: tuple[str, ...]
    name: str | None = None
    preshared_key: str | None = None
    expires_at: int | None = None
    ends: float | None = None
    """By the monotonic clock, if the ttl was given since the start."""
    over_since: float | None = None
    """By the monotonic clock, since it was found to be over."""
    is_out: bool = False
    """It was shut out because it was over."""


class Life:
    """The agent, and the model of it: what it goes by (`now`), and what the next one will go by (`stored`)."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.trace: list[str] = []
        self.directory = tempfile.TemporaryDirectory()
        self.killer = Killer()
        self.plane = MortalPlane(self.killer)
        self.gateway = Gateway(
            Path(self.directory.name, "peers.sqlite"),
            NETWORKS,
            plane=self.plane,
            make_store=lambda path: MortalStore(path, self.killer),
        )
        self.runner = asyncio.Runner()
        self.now: dict[str, Entry] = {}
        self.stored: dict[str, Entry] = {}

    def step(self) -> None:
        """One thing happens, and then all must be true."""
        (action,) = self.dice.choices(list(ACTIONS), list(ACTIONS.values()))
        self.trace.append(action)
        getattr(self, action)()
        self.trace[-1] += f"\n    now {summary(self.now)}\n    in {sorted(key[:3] for key in self.plane.peers)}"
        self.callers_see_what_was_acknowledged()
        self.the_store_has_what_the_next_agent_needs()
        self.who_was_shut_out_stays_out()
        self.addresses_are_nobody_elses()
        self.gateway.devices.pool.free(list(self.gateway.devices.pool.resting))  # as `flows` does a moment later

    def end(self) -> None:
        self.runner.close()
        self.gateway.store.close()
        self.directory.cleanup()

    # What callers do.

    def register(self) -> None:
        key, given = self.dice.choice(KEYS), self.some_fields()
        self.trace[-1] += f" {key[:3]} {given}"
        before = self.now.get(key)
        is_new = before is None or self.is_over(before)
        wanted = self.registered(None if is_new else before, given)
        result = self.attempt(
            self.gateway.devices.register(Registration(public_key=key, protocol=protocol(key), **given))
        )
        if isinstance(result, Killed):
            self.restart({key: [self.stored.get(key), replace(wanted, ends=None)]})
            return
        if isinstance(result, PoolFullError):
            assert before is None
            assert len(self.now) == CAPACITY
            return
        if isinstance(result, StoreError):
            assert self.gateway.disk_full
            return
        assert isinstance(result, Admission), result
        is_in = key == OPENVPN or not (self.plane.away or self.plane.broken)
        assert (result.is_new, result.is_in) == (is_new, is_in)
        addresses = self.gateway.devices.addresses(result.device)
        if before is not None:
            assert addresses == before.addresses
        self.now[key] = self.stored[key] = replace(wanted, addresses=addresses)
        if result.is_in:
            self.assert_is_in(key)

    def revoke(self) -> None:
        key = self.dice.choice(KEYS)
        self.trace[-1] += f" {key[:3]}"
        before = self.now.get(key)
        result = self.attempt(self.gateway.devices.revoke(key))
        if isinstance(result, Killed):
            marked = replace(self.stored[key], expires_at=REVOKED)
            self.restart({key: [self.stored[key], marked, None]})
        elif before is None:
            assert isinstance(result, DeviceUnknownError)
        elif not self.can_shut_out(key):
            assert isinstance(result, UnavailableError), result
            self.now[key] = replace(before, expires_at=REVOKED, is_out=False)
            if not self.gateway.disk_full:
                self.stored[key] = replace(self.stored[key], expires_at=REVOKED)
        elif self.gateway.disk_full:
            assert isinstance(result, UnavailableError), result
            self.now[key] = replace(before, expires_at=REVOKED, is_out=True)
        else:
            assert result is None, result
            del self.now[key], self.stored[key]

    # What the agent does by itself.

    def expire(self) -> None:
        over = {key for key, entry in self.now.items() if self.is_over(entry)}
        result = self.attempt(self.gateway.devices.expire())
        if isinstance(result, Killed):
            self.restart({key: [self.stored[key], None] for key in over})
            return
        for key, entry in self.now.items():
            since = entry.over_since if entry.over_since is not None else self.gateway.uptime
            self.now[key] = replace(
                entry,
                over_since=since if key in over else None,
                is_out=key in over and (entry.is_out or self.can_shut_out(key)),
            )
        done = [key for key in over if self.now[key].is_out and self.is_done(self.now[key])]
        failed = bool(done and self.gateway.disk_full) or any(not self.now[key].is_out for key in over)
        assert isinstance(result, CommandError | StoreError) if failed else result is None, result
        if not self.gateway.disk_full:
            for key in done:
                del self.now[key], self.stored[key]

    def reconcile(self) -> None:
        result = self.attempt(self.gateway.reconcile())
        if isinstance(result, Killed):
            self.restart({})
            return
        if self.plane.away:
            return
        staying = {key: entry for key, entry in self.now.items() if key != OPENVPN and not entry.is_out}
        alive = {key for key, entry in staying.items() if not self.is_over(entry)}
        unswept = staying.keys() - alive
        if isinstance(result, CommandError):
            assert self.plane.broken
        else:
            assert result is None or self.gateway.disk_full, result
            assert alive <= self.plane.peers.keys() <= alive | unswept
            for key in alive:
                self.assert_is_in(key)

    # What happens to it.

    def crash(self) -> None:
        self.restart({})

    def time_passes(self) -> None:
        self.gateway.wait(self.dice.choice(SECONDS))

    def the_clock_jumps(self) -> None:
        self.gateway.now += self.dice.choice(SECONDS) * self.dice.choice([-1, 1])

    def the_disk_changes(self) -> None:
        self.gateway.fill_the_disk(full=self.dice.random() < 0.25)

    def the_interface_changes(self) -> None:
        state = self.dice.choice(["well", "well", "failing", "away"])
        self.plane.broken = state == "failing"
        if state == "away":
            self.plane.go_away()
        else:
            self.plane.away = False

    def a_handshake(self) -> None:
        for key in self.plane.peers:
            self.plane.handshake(key, f"192.0.2.1:{self.dice.randint(1, 9)}", int(self.gateway.now))

    # What must be true all the time.

    def callers_see_what_was_acknowledged(self) -> None:
        page, found = self.runner.run(self.asked())
        alive = {key: entry for key, entry in self.now.items() if not self.is_over(entry)}
        assert {device.public_key: self.seen(device) for device in page} == {
            key: said(entry) for key, entry in alive.items()
        }
        assert [device.number for device in page] == sorted(device.number for device in page)
        assert found == page

    def the_store_has_what_the_next_agent_needs(self) -> None:
        assert {device.public_key: self.seen(device) for device in self.gateway.store.everyone()} == {
            key: said(entry) for key, entry in self.stored.items()
        }

    def who_was_shut_out_stays_out(self) -> None:
        gone = {key for key in KEYS if key not in self.now or self.now[key].is_out}
        assert not self.plane.peers.keys() & gone

    def addresses_are_nobody_elses(self) -> None:
        addresses = [address for entry in self.now.values() for address in entry.addresses]
        assert len(set(addresses)) == len(addresses)
        assert len(self.gateway.devices.pool.taken) == len(self.now)
        assert self.gateway.devices.resting == sum(entry.is_out for entry in self.now.values())

    async def asked(self) -> tuple[list[Device], list[Device]]:
        """All devices, and those that are found by their keys, in the same order."""
        found = []
        for key in KEYS:
            with suppress(DeviceUnknownError):
                found.append(await self.gateway.devices.find(key))
        return await self.gateway.devices.page(0, 100), sorted(found, key=lambda device: device.number)

    # How the model counts.

    def is_over(self, entry: Entry) -> bool:
        by_wall_clock = entry.expires_at is not None and entry.expires_at <= self.gateway.now
        return by_wall_clock or self.has_ended(entry)

    def has_ended(self, entry: Entry) -> bool:
        return entry.expires_at == REVOKED or (entry.ends is not None and entry.ends <= self.gateway.uptime)

    def is_done(self, entry: Entry) -> bool:
        assert entry.over_since is not None
        return self.has_ended(entry) or self.gateway.uptime - entry.over_since >= KEPT_S

    def registered(self, known: Entry | None, given: dict[str, Any]) -> Entry:
        entry = known or Entry(addresses=())
        fields = {name: value for name, value in given.items() if name != "ttl_seconds"}
        if "ttl_seconds" in given:
            ttl = given["ttl_seconds"]
            fields["expires_at"] = None if ttl is None else int(self.gateway.now) + ttl
            fields["ends"] = None if ttl is None else self.gateway.uptime + ttl
        return replace(entry, over_since=None, is_out=False, **fields)

    def can_shut_out(self, key: str) -> bool:
        return key == OPENVPN or self.plane.away or not self.plane.broken

    def assert_is_in(self, key: str) -> None:
        if key == OPENVPN:
            return
        peer, entry = self.plane.peers[key], self.now[key]
        assert (peer.allowed_ips, peer.preshared_key) == (frozenset(entry.addresses), entry.preshared_key)

    def seen(self, device: Device) -> tuple[object, ...]:
        return self.gateway.devices.addresses(device), device.name, device.preshared_key, device.expires_at

    def some_fields(self) -> dict[str, Any]:
        return {name: self.dice.choice(values) for name, values in CHOICES.items() if self.dice.random() < 0.5}

    def attempt(self, change: Coroutine[Any, Any, object]) -> object:
        """The result of a change, or what it raised; now and then the agent is killed in it."""
        self.killer.step = self.dice.choice(STEPS) if self.dice.randrange(KILLED_ONE_IN) == 0 else None
        try:
            result = self.runner.run(change)
        except (CommandError, DeviceUnknownError, Killed, PoolFullError, StoreError, UnavailableError) as error:
            result = error
        self.trace[-1] += f" ({self.killer.step or 'unhurt'}): {result!r}"
        self.killer.step = None
        return result

    def restart(self, possible: dict[str, list[Entry | None]]) -> None:
        """The next agent starts. A call that nobody answered may have left one thing or the other in the store."""
        self.gateway.crash()
        found = {device.public_key: device for device in self.gateway.store.everyone()}
        for key, entries in possible.items():
            if (device := found.get(key)) is None:
                assert None in entries
                self.stored.pop(key, None)
                continue
            addresses = self.gateway.devices.addresses(device)
            candidates = [replace(entry, addresses=entry.addresses or addresses) for entry in entries if entry]
            self.stored[key] = next(entry for entry in candidates if said(entry) == self.seen(device))
        self.stored = {
            key: replace(entry, ends=None, over_since=None, is_out=False) for key, entry in self.stored.items()
        }
        self.now = dict(self.stored)


def protocol(key: str) -> ProtocolName:
    return "openvpn" if key == OPENVPN else "wireguard"


def summary(entries: dict[str, Entry]) -> list[tuple[object, ...]]:
    return [
        (key[:3], entry.expires_at, entry.ends, entry.over_since, "out" if entry.is_out else "")
        for key, entry in entries.items()
    ]


def said(entry: Entry) -> tuple[object, ...]:
    """What is said of a device."""
    return entry.addresses, entry.name, entry.preshared_key, entry.expires_at


def live(lives: int, steps: int) -> None:
    """Go through this many lives of this many steps each. Each has its own dice, which always fall alike."""
    for number in range(lives):
        life = Life(random.Random(number))  # noqa: S311 - no secret
        try:
            for _ in range(steps):
                life.step()
        except Exception as error:
            error.add_note("\n".join([f"life {number}, its last steps:", *life.trace[-LAST:]]))
            raise
        finally:
            life.end()
