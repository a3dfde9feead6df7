"""Random steps of callers, of the machine and of fate against the real agent, compared with what it acknowledged.

Agent, interface, `wg`, OpenVPN, charon, store and filesystem are real; the agent's wall clock jumps. The unit tests'
walk (tests/unit/agent/life.py) kills the agent at each moment of a change; this one shows that the parts do what that
one believes of them.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx

from tests.contract.agent.acknowledged import LONG_S, SHORT_S
from tests.contract.agent.agents_clock import AgentsClock
from tests.contract.agent.callers import Callers
from tests.contract.agent.disks import filled, small_disk
from tests.contract.agent.ways_in import Way
from tests.contract.agent.witness import SETTLED_S
from tests.contract.agent.world import World
from tests.deadlines import wait_for
from tests.device_paths import device_path
from tests.unit.agent.fakes import key_pair

DISK_KIB = 8192
"""Room for SQLite's log, which grows to 4 MiB."""
AHEAD, BACK = ("+200d", "+200d", "+2y"), ("-30m", "-30m", "-2y")
LAST = 25
STEPS = {
    "register": 12,
    "revoke": 5,
    "several_callers": 4,
    "mistaken": 1,
    "visit": 6,
    "killed": 1,
    "killed_in_calls": 2,
    "goes": 2,
    "comes": 3,
    "dies": 1,
    "disk": 1,
    "room": 3,
    "disturbed": 2,
    "clock_ahead": 1,
    "clock_hops": 1,
    "clock_back": 1,
}
"""How often each comes, by comparison."""


class Walk(Callers):
    """What happens to the agent and around it, and the way through all of it."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(world, seed)
        self.seed = seed
        self.full = ExitStack()
        self.state = world.directory / "state"
        self.state.mkdir()
        self.clock = AgentsClock(world)

    def go(self, steps: int, within_s: float = float("inf")) -> int:
        """Take so many steps, or as many as the time allows; how many it were."""
        end = time.monotonic() + within_s
        taken = 0
        with small_disk(self.state, DISK_KIB):
            try:
                for way in self.certified:
                    way.comes()
                self.world.start()
                while taken < steps and time.monotonic() < end:
                    self.step()
                    taken += 1
                self.end()
            except Exception as error:
                error.add_note("\n".join([f"seed {self.seed}, the last steps:", *self.trace[-LAST:]]))
                raise
            finally:
                self.visitors.all_leave()
                self.full.close()
                self.world.stop_agent()
                for way in self.certified:
                    way.goes()
        return taken

    def step(self) -> None:
        """One thing happens, and then all must become true."""
        (name,) = self.dice.choices(list(STEPS), list(STEPS.values()))
        self.trace.append(name)
        getattr(self, name)()
        self.settle()

    def end(self) -> None:
        """All works again. By OpenVPN exactly those get in who are in; then all with certificates, until revoked."""
        self.trace.append("the end")
        self.room()
        for way in self.ways:
            if way.away:
                self.way_comes(way)
        while self.shaken:
            self.settle()
        for key in filter(self.visitors.can_come, self.openvpn.keys):
            self.comes_by_openvpn(key)
        keys = [key for way in self.certified for key in way.keys]
        for key in keys:
            self.answered(key, {"ttl_seconds": None}, self.post(key, {"ttl_seconds": None}))
        for key in set(self.openvpn.keys) - self.visitors.there.keys():
            self.comes_by_openvpn(key)
        self.settle()
        for key in keys:
            self.revoked(key, self.delete(key))
        self.settle()

    # What happens to the agent.

    def killed(self) -> None:
        self.restart()

    def killed_in_calls(self) -> None:
        """Whoever got no answer asks again, and then everything is certain."""
        if self.is_full:
            return
        keys = self.dice.sample(self.keys, 5)
        calls = [(key, self.some_fields(key) if self.dice.random() < 0.7 else None) for key in keys]
        answers: dict[str, httpx.Response] = {}

        def ask(key: str, fields: dict[str, Any] | None) -> None:
            with suppress(httpx.TransportError):
                answers[key] = self.delete(key) if fields is None else self.post(key, fields)

        callers = [threading.Thread(target=ask, args=call) for call in calls]
        for caller in callers:
            caller.start()
        time.sleep(self.dice.random() * 0.06)
        self.restart()
        for caller in callers:
            caller.join()
        self.trace[-1] += f": {len(answers)} of {len(calls)} answered"
        for key, fields in calls:
            again = key not in answers
            answer = answers.get(key) or (self.delete(key) if fields is None else self.post(key, fields))
            if fields is None:
                self.revoked(key, answer, perhaps_before=again)
            else:
                self.answered(key, fields, answer, perhaps_before=again)

    def restart(self) -> None:
        self.world.stop_agent(signal.SIGKILL)
        self.world.start_agent()
        wait_for(self.answers, "the agent", SETTLED_S)
        self.model.killed()
        self.shake(*self.ways)

    def answers(self) -> bool:
        try:
            return self.world.probe("/healthz").is_success
        except httpx.TransportError:
            return False

    # What happens around it.

    def goes(self) -> None:
        """One way in is away until somebody starts it again."""
        if there := [way for way in self.ways if not way.away]:
            way = self.dice.choice(there)
            self.trace[-1] += f": {way.protocol}"
            self.leave(way)
            way.goes()
            way.away = True
            self.shake(way)

    def comes(self) -> None:
        if away := [way for way in self.ways if way.away]:
            self.way_comes(self.dice.choice(away))

    def way_comes(self, way: Way) -> None:
        self.trace[-1] += f": {way.protocol}"
        way.comes()
        way.away = False
        self.shake(way)

    def dies(self) -> None:
        """What lets devices in is killed; whoever watches over it starts it again, but not if it never lives."""
        if steady := list(filter(self.is_sure_of, self.ways)):
            way = self.dice.choice(steady)
            self.trace[-1] += f": {way.protocol}"
            self.leave(way)
            way.dies()
            self.shake(way)

    def leave(self, way: Way) -> None:
        """The clients of OpenVPN end before it does: nothing would tell them."""
        if way is self.openvpn:
            self.visitors.all_leave()

    def disk(self) -> None:
        """It is full until there is room."""
        if not self.is_full:
            self.is_full = True
            self.full.enter_context(filled(self.state))

    def room(self) -> None:
        if self.is_full:
            self.is_full = False
            self.full.close()
            self.wait_until_forgotten([key for key, entry in self.model.known.items() if entry.out])

    def disturbed(self) -> None:
        """Somebody changes the interface by hand."""
        wg = ("wg", "set", self.world.interface, "peer")
        if self.dice.random() < 0.5:
            self.world.gateway.tried(*wg, key_pair().public, "allowed-ips", "10.77.0.200/32")
        else:
            self.world.gateway.tried(*wg, self.dice.choice(self.wireguard.keys), "remove")

    def clock_ahead(self) -> None:
        """Whoever has a ttl is out; set right, those whose time is not over are in again, also over a restart."""
        if not self.is_full:
            key, fields = self.dice.choice(self.keys), {"ttl_seconds": LONG_S}
            self.answered(key, fields, self.post(key, fields))
        with self.wrong_clock(self.dice.choice(AHEAD)):
            self.settle(lambda entry: entry.ttl is None)
            if self.dice.random() < 0.3:
                self.restart()
                self.settle(lambda entry: entry.ttl is None)

    def clock_hops(self) -> None:
        """It is right again before all of the agent has seen that it was wrong."""
        with self.wrong_clock(self.dice.choice(AHEAD)):
            self.visitors.doubt()
            if self.is_sure_of(self.ipsec) and self.dice.random() < 0.5:
                self.ipsec.dies()
                self.shake(self.ipsec)
            time.sleep(self.dice.random())

    def clock_back(self) -> None:
        """Time goes on for who registered since the start; others stay longer, or come back."""
        if self.is_full:
            return
        with self.wrong_clock(self.dice.choice(BACK)):
            key, fields = self.dice.choice(self.keys), {"ttl_seconds": SHORT_S}
            self.revoked(key, self.delete(key))
            self.answered(key, fields, self.post(key, fields))
            wait_for(lambda: self.world.call("GET", device_path(key)).status_code == 404, "the end of the ttl")

    @contextmanager
    def wrong_clock(self, by: str) -> Iterator[None]:
        """The agent's clock is off during the block. By years, OpenVPN gets certificates of then, and starts anew."""
        self.trace[-1] += f": {by}"
        are_issued = by.endswith("y")
        if are_issued:
            self.visitors.doubt()
            self.shake(self.openvpn)
        self.clock.is_off(by)
        yield
        self.clock.is_right()
        if are_issued:
            self.visitors.all_leave()
            self.shake(self.openvpn)
