"""The life of two members and their etcd in random order, compared with what was acknowledged.

Members are killed and come back on their volumes, members of etcd are killed, hang and come back. At the end all is
well again, and then every acknowledged registration is in, every acknowledged revocation is out, everywhere.
"""

import asyncio
import random
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.agent.errors import DeviceUnknownError, UnavailableError
from gateway.agent.store import StoreError
from tests.contract.agent.etcd import EtcdCluster
from tests.contract.agent.members import KEYS, Member, eventually

IN, OUT = "in", "out"
ACTIONS = {
    "register": 12,
    "revoke": 6,
    "both_register_one": 3,
    "restart_a_member": 1,
    "lose_a_member_of_etcd": 2,
    "hang_a_member_of_etcd": 1,
    "bring_etcd_back": 3,
    "wait": 2,
}
"""How often each comes, by comparison."""
CALM_S = 30


class MembersLife:
    """Two members, and what may be true of each key."""

    def __init__(self, dice: random.Random, etcd: EtcdCluster, directory: Path) -> None:
        self.dice = dice
        self.etcd = etcd
        self.trace: list[str] = []
        self.members = [
            Member([*etcd.urls[shift:], *etcd.urls[:shift]], directory / f"member-{shift}") for shift in (0, 1)
        ]
        self.lives: list[AsyncExitStack] = []
        self.possible: dict[str, set[str]] = {key: {OUT} for key in KEYS[:12]}
        self.away: set[int] = set()
        self.hanging: set[int] = set()

    async def live(self, steps: int) -> None:
        """So many steps; then all is well, and all must be true."""
        self.lives = [await self.started(member) for member in self.members]
        try:
            for _ in range(steps):
                (action,) = self.dice.choices(list(ACTIONS), list(ACTIONS.values()))
                self.trace.append(action)
                await getattr(self, action)()
            await self.bring_etcd_back()
            await self.all_is_true()
        except AssertionError as error:
            error.add_note("\n".join(self.trace))
            raise
        finally:
            for life in self.lives:
                await life.aclose()

    async def started(self, member: Member) -> AsyncExitStack:
        life = AsyncExitStack()
        await life.enter_async_context(member.running())
        return life

    # What callers do.

    async def register(self) -> None:
        key, member = self.dice.choice(list(self.possible)), self.dice.choice(self.members)
        self.became(key, await self.tried(member, key, member.register(key)))

    async def both_register_one(self) -> None:
        key = self.dice.choice(list(self.possible))
        outcomes = await asyncio.gather(*(self.tried(member, key, member.register(key)) for member in self.members))
        if True in outcomes and self.possible[key] == {OUT}:
            self.possible[key] = {IN}
        else:
            for outcome in sorted(outcomes):
                self.became(key, outcome)

    def became(self, key: str, acknowledged: bool) -> None:
        pending = any(self.revoked_here(member, key) for member in self.members)
        self.possible[key] = {IN} if acknowledged and not pending else self.possible[key] | {IN}

    def revoked_here(self, member: Member, key: str) -> bool:
        """Whether a member knows of a revocation that etcd does not know of yet, or it may not be known."""
        record = member.store._copy.get([key]).get(key)
        return bool(record and record.is_revoked)

    async def revoke(self) -> None:
        key, member = self.dice.choice(list(self.possible)), self.dice.choice(self.members)
        try:
            await member.devices.revoke(key)
        except DeviceUnknownError:
            self.trace[-1] += f" {key[:3]}: unknown"
            assert self.possible[key] != {IN}
        except StoreError as error:
            self.trace[-1] += f" {key[:3]}: {error}"
        except UnavailableError:
            self.trace[-1] += f" {key[:3]}: later"
            self.possible[key] |= {OUT}
            assert not member.has_in(key)
        else:
            self.trace[-1] += f" {key[:3]}: done"
            self.possible[key] = {OUT}
            assert not member.has_in(key)

    async def tried(self, member: Member, key: str, call: Awaitable[object]) -> bool:
        try:
            await call
        except StoreError as error:
            self.trace[-1] += f" {key[:3]}: {error}"
            return False
        self.trace[-1] += f" {key[:3]}: done"
        assert member.has_in(key)
        return True

    # What happens.

    async def restart_a_member(self) -> None:
        number = self.dice.randrange(2)
        await self.lives[number].aclose()
        self.lives[number] = await self.started(self.members[number])

    async def lose_a_member_of_etcd(self) -> None:
        if there := [number for number in range(3) if number not in self.away | self.hanging]:
            number = self.dice.choice(there)
            self.etcd.kill(number)
            self.away.add(number)

    async def hang_a_member_of_etcd(self) -> None:
        if there := [number for number in range(3) if number not in self.away | self.hanging]:
            number = self.dice.choice(there)
            self.etcd.freeze(number)
            self.hanging.add(number)

    async def bring_etcd_back(self) -> None:
        for number in self.hanging:
            self.etcd.thaw(number)
        self.etcd.start(*self.away)
        self.hanging, self.away = set(), set()

    async def wait(self) -> None:
        await asyncio.sleep(self.dice.choice([0.01, 0.3, 1.5]))

    # What must be true at the end.

    async def all_is_true(self) -> None:
        await eventually(lambda: all(member.store.trouble is None for member in self.members), CALM_S)
        await eventually(self.are_in_line, CALM_S)
        first = self.members[0]
        devices = await first.devices.page(0, 1000)
        now = {key: IN if first.has_in(key) else OUT for key in self.possible}
        wrong = {key[:3]: (state, self.possible[key]) for key, state in now.items() if state not in self.possible[key]}
        assert not wrong, wrong
        assert len({device.number for device in devices}) == len(devices)
        for member in self.members:
            assert member.plane.peers == first.plane.peers
            assert await member.devices.page(0, 1000) == devices
            assert member.devices.pool.taken == {device.number for device in devices}

    def are_in_line(self) -> bool:
        """Nothing is pending, and both planes have what both stores know."""
        states = [
            {(key, one.version, one.is_revoked) for key, one in member.store._copy.all().items()}
            for member in self.members
        ]
        keys = {key for key, *_ in states[0]}
        return states[0] == states[1] and all(
            keys == member.plane.peers.keys() == member.devices._by_key.keys() for member in self.members
        )
