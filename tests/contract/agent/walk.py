"""Random steps of callers, of the machine and of fate against the real agent, compared with what it acknowledged.

Agent, interface, `wg`, store and filesystem are real; libfaketime lets the agent's wall clock jump, and no other clock.
The unit tests' walk (tests/unit/agent/life.py) kills the agent at each moment of a change; this one shows that the
parts do what that one believes of them.
"""

import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx

from lab.tools import debian_packages
from tests.contract.agent.disks import filled, small_disk
from tests.contract.agent.world import World
from tests.deadlines import wait_for
from tests.unit.agent.fakes import key_pair

KEYS = 8
SECRETS = ("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
CHOICES: dict[str, list[Any]] = {
    "name": [None, "phone", "tablet"],
    "ttl_seconds": [None, 2, 1000],
    "preshared_key": [None, *SECRETS],
}
SHORT_S, SURELY_OVER_S = 2, 4.5
"""The short ttl, and when it is over for certain: whole seconds, a sweep a second, and a busy machine."""
SETTLED_S = 10
DISK_KIB = 8192
"""Room for SQLite's log, which grows to 4 MiB."""
LAST = 25
STEPS = {
    "register": 12,
    "revoke": 5,
    "several_callers": 2,
    "killed": 1,
    "killed_in_calls": 2,
    "interface": 1,
    "disk": 1,
    "disturbed": 2,
    "clock_ahead": 1,
    "clock_back": 1,
}
"""How often each comes, by comparison."""


@dataclass(frozen=True)
class Entry:
    """What was acknowledged of a device."""

    addresses: tuple[str, ...]
    name: str | None = None
    preshared_key: str | None = None
    ttl: int | None = None
    given_at: float = 0.0
    """When its ttl was, by the test's monotonic clock."""
    out: bool = False
    """It was shut out, and could not be forgotten."""

    def with_fields(self, fields: dict[str, Any]) -> Self:
        """As a registration with these fields makes it."""
        given = {name: value for name, value in fields.items() if name != "ttl_seconds"}
        entry = replace(self, out=False, **given)
        if "ttl_seconds" not in fields:
            return entry
        return replace(entry, ttl=fields["ttl_seconds"], given_at=time.monotonic())

    def fits(self, said: dict[str, Any]) -> bool:
        """Whether the API's answer is of it."""
        return (self.addresses, self.name, self.preshared_key is not None, self.ttl is None) == (
            *(tuple(said["addresses"]), said["name"], said["has_preshared_key"], said["expires_at"] is None),
        )

    @property
    def may_be_over(self) -> bool:
        return self.ttl == SHORT_S

    @property
    def is_over(self) -> bool:
        return self.may_be_over and time.monotonic() - self.given_at > SURELY_OVER_S


class Walk:
    """The world and the model of it."""

    def __init__(self, world: World, seed: int) -> None:
        debian_packages.ensure({"faketime": debian_packages.ONLY_TESTS["faketime"]})
        self.world, self.seed, self.dice = world, seed, random.Random(seed)  # noqa: S311 - no secret
        self.trace: list[str] = []
        self.keys = [key_pair().public for _ in range(KEYS)]
        self.known: dict[str, Entry] = {}
        self.over: set[str] = set()
        """Keys of devices whose time is over: unknown, but they may be stored still, and then can be revoked."""
        self.away = False
        self.full = ExitStack()
        self.is_full = False
        self.state = world.directory / "state"
        self.state.mkdir()
        self.clock = world.directory / "clock"
        self.clock.write_text("+0")
        (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
        world.agents_environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def go(self, steps: int, within_s: float = float("inf")) -> int:
        """Take so many steps, or as many as the time allows; how many it were."""
        end = time.monotonic() + within_s
        with small_disk(self.state, DISK_KIB):
            self.world.start()
            try:
                for number in range(steps):
                    if time.monotonic() > end:
                        return number
                    self.step()
            except Exception as error:
                error.add_note("\n".join([f"seed {self.seed}, the last steps:", *self.trace[-LAST:]]))
                raise
            finally:
                self.full.close()
                self.world.stop_agent()
        return steps

    def step(self) -> None:
        """One thing happens, and then all must become true."""
        (name,) = self.dice.choices(list(STEPS), list(STEPS.values()))
        self.trace.append(name)
        getattr(self, name)()
        self.settle()

    # What callers do.

    def register(self) -> None:
        key, fields = self.dice.choice(self.keys), self.some_fields()
        self.answered(key, fields, self.post(key, fields))

    def revoke(self) -> None:
        key = self.dice.choice(self.keys)
        self.revoked(key, self.delete(key))

    def several_callers(self) -> None:
        """Some with the same key, others with others, all at once."""
        key, fields, others = self.dice.choice(self.keys), self.some_fields(), self.dice.sample(self.keys, 3)
        calls = [(key, fields)] * 4 + [(other, self.some_fields()) for other in others if other != key]
        with ThreadPoolExecutor(len(calls)) as callers:
            answers = list(callers.map(lambda call: self.post(*call), calls))
        assert sum(answer.status_code == httpx.codes.CREATED for answer in answers[:4]) <= 1
        for (one, given), answer in sorted(zip(calls, answers, strict=True), key=self.turn):
            self.answered(one, given, answer)

    def turn(self, one: tuple[tuple[str, dict[str, Any]], httpx.Response]) -> int:
        """The order of answers: renewals of a device whose ttl then ended, what made it anew, the rest."""
        (key, given), answer = one
        before = self.known.get(key)
        if answer.status_code == httpx.codes.CREATED:
            return 1
        if not (before and before.may_be_over and answer.is_success):
            return 2
        said = answer.json()
        as_before, anew = (entry.with_fields(given) for entry in (before, Entry(tuple(said["addresses"]))))
        return 0 if as_before.fits(said) and not anew.fits(said) else 2

    # What happens to the agent.

    def killed(self) -> None:
        self.restart()

    def killed_in_calls(self) -> None:
        """Whoever got no answer asks again, and then everything is certain."""
        if self.is_full:
            return
        keys = self.dice.sample(self.keys, 5)
        calls = [(key, self.some_fields() if self.dice.random() < 0.7 else None) for key in keys]
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
        # A revocation that could not be kept was known to that process alone, as its answer said.
        self.known = {key: replace(entry, out=False) for key, entry in self.known.items()}

    def answers(self) -> bool:
        try:
            return self.world.probe("/healthz").is_success
        except httpx.TransportError:
            return False

    # What happens around it.

    def interface(self) -> None:
        holder = self.world.holder
        assert holder is not None
        if self.away:
            self.world.start_interface()
        else:
            holder.terminate()
            holder.wait()
        self.away = not self.away
        self.trace[-1] += " goes" if self.away else " comes"

    def disk(self) -> None:
        self.is_full = not self.is_full
        self.trace[-1] += " is full" if self.is_full else " has room"
        if self.is_full:
            self.full.enter_context(filled(self.state))
            return
        self.full.close()
        for key in [key for key, entry in self.known.items() if entry.out]:
            wait_for(partial(self.is_forgotten, key), "what was not forgotten", SETTLED_S)
            del self.known[key]

    def is_forgotten(self, key: str) -> bool:
        return self.delete(key).status_code in {httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND}

    def disturbed(self) -> None:
        """Somebody changes the interface by hand."""
        wg = ("wg", "set", self.world.interface, "peer")
        if self.dice.random() < 0.5:
            self.world.gateway.tried(*wg, key_pair().public, "allowed-ips", "10.77.0.200/32")
        else:
            self.world.gateway.tried(*wg, self.dice.choice(self.keys), "remove")

    def clock_ahead(self) -> None:
        """Whoever has a ttl is out; set right, those whose time is not over are in again, also over a restart."""
        self.clock.write_text("+2y")
        self.settle(lambda entry: entry.ttl is None)
        if self.dice.random() < 0.3:
            self.restart()
            self.settle(lambda entry: entry.ttl is None)
        self.clock.write_text("+0")

    def clock_back(self) -> None:
        """Time goes on for who registered since the start; others stay longer, or come back."""
        if self.is_full:
            return
        self.clock.write_text("-2y")
        key, fields = self.dice.choice(self.keys), {"ttl_seconds": SHORT_S}
        self.revoked(key, self.delete(key))
        self.answered(key, fields, self.post(key, fields))
        wait_for(lambda: self.world.call("GET", f"/v1/peers/{key}").status_code == 404, "the end of the ttl")
        self.clock.write_text("+0")

    # What the answers mean.

    def post(self, key: str, fields: dict[str, Any]) -> httpx.Response:
        return self.world.call("POST", "/v1/peers", json={"public_key": key, **fields})

    def delete(self, key: str) -> httpx.Response:
        return self.world.call("DELETE", f"/v1/peers/{key}")

    def answered(
        self, key: str, fields: dict[str, Any], answer: httpx.Response, *, perhaps_before: bool = False
    ) -> None:
        """Take what a registration was answered; `perhaps_before`: an earlier one with the same fields was not."""
        before, status = self.known.get(key), answer.status_code
        self.trace[-1] += f"\n    register {key[:4]} {fields}: {status}"
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            assert self.is_full, answer.text
            return
        assert status == 202 if self.away else status in {200, 201, 202}, answer.text
        is_certain = not perhaps_before and not (before and (before.may_be_over or before.out))
        if status in {200, 201} and is_certain:
            assert (status == 200) == (before is not None)
        said = answer.json()
        anew = Entry(tuple(said["addresses"]))
        possible = [entry for entry in (before, anew) if entry and (not is_certain or entry is (before or anew))]
        renewed = [entry.with_fields(fields) for entry in possible]
        fitting = [entry for entry in renewed if entry.fits(said)]
        assert fitting, f"{said} is none of {renewed}"
        self.known[key] = fitting[0]
        self.over.discard(key)

    def revoked(self, key: str, answer: httpx.Response, *, perhaps_before: bool = False) -> None:
        before, status = self.known.get(key), answer.status_code
        self.trace[-1] += f"\n    revoke {key[:4]}: {status}"
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            assert self.is_full, answer.text
            if before:
                self.known[key] = replace(before, out=True)
            return
        if not (perhaps_before or key in self.over or (before and (before.may_be_over or before.out))):
            assert status == (404 if before is None else 204), answer.text
        assert status in {204, 404}
        self.known.pop(key, None)
        self.over.discard(key)

    # What must become true.

    def settle(self, counts: Callable[[Entry], bool] = lambda _: True) -> None:
        """Interface and list have the devices that count; those whose ttl may be over, or not."""
        wait_for(lambda: self.differences(counts) == [], "agreement", SETTLED_S) if self.differences(counts) else None

    def differences(self, counts: Callable[[Entry], bool]) -> list[str]:
        self.over |= {key for key, entry in self.known.items() if entry.is_over}
        self.known = {key: entry for key, entry in self.known.items() if not entry.is_over}
        may = {key: entry for key, entry in self.known.items() if counts(entry) and not entry.out}
        must = {key: entry for key, entry in may.items() if not entry.may_be_over}
        page = self.world.call("GET", "/v1/peers").json()["peers"]
        found = compare("listed", must, may, {one["public_key"]: tuple(one["addresses"]) for one in page})
        found += [
            f"{one['public_key'][:4]} is called {one['name']}"
            for one in page
            if one["public_key"] in must and one["name"] != must[one["public_key"]].name
        ]
        if not self.away:
            peers = dump(self.world)
            found += compare("let in", must, may, {key: addresses for key, (_, addresses) in peers.items()})
            found += [
                f"{key[:4]} has the preshared key {secret}"
                for key, (secret, _) in peers.items()
                if key in must and secret != must[key].preshared_key
            ]
        if found and not self.trace[-1].endswith(line := f"\n    not yet: {sorted(found)}"):
            self.trace[-1] += line
        return found

    def some_fields(self) -> dict[str, Any]:
        return {name: self.dice.choice(values) for name, values in CHOICES.items() if self.dice.random() < 0.5}


def compare(what: str, must: dict[str, Entry], may: dict[str, Entry], found: dict[str, tuple[str, ...]]) -> list[str]:
    """What differs, in words."""
    return [
        *(f"{key[:4]} is not {what}" for key in must if key not in found),
        *(f"{key[:4]} is {what}" for key in found if key not in may),
        *(f"{key[:4]} is {what} at {found[key]}" for key in found if key in must and found[key] != must[key].addresses),
    ]


def dump(world: World) -> dict[str, tuple[str | None, tuple[str, ...]]]:
    """The interface's peers: preshared keys and allowed IPs; none while there is no interface."""
    listed = world.gateway.tried("wg", "show", world.interface, "dump").stdout.splitlines()[1:]
    peers = (line.split("\t") for line in listed)
    return {
        key: (None if secret == "(none)" else secret, tuple(sorted(allowed.split(","), key=lambda one: ":" in one)))
        for key, secret, _, allowed, *_ in peers
    }
