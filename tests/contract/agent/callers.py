"""What callers and clients do, at random: one at a time, several at once, and by mistake."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.contract.agent.acknowledged import LONG_S, SHORT_S, Entry
from tests.contract.agent.witness import Witness
from tests.contract.agent.world import World

CHOICES: dict[str, list[Any]] = {
    "name": [None, "phone", "tablet"],
    "ttl_seconds": [None, SHORT_S, LONG_S],
}
SECRET: dict[str, list[Any]] = {
    "preshared_key": [
        None,
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    ]
}
"""What a WireGuard device may have besides."""


class Callers(Witness):
    """Each method is one step."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(world)
        self.dice = random.Random(seed)  # noqa: S311 - no secret
        self.certified = (self.openvpn, self.ipsec)
        self.keys = [key for way in self.ways for key in way.keys]

    def register(self) -> None:
        key = self.dice.choice(self.keys)
        fields = self.some_fields(key)
        self.answered(key, fields, self.post(key, fields))

    def revoke(self) -> None:
        """Most of the time, one that is there."""
        known = list(self.model.known)
        key = self.dice.choice(known if known and self.dice.random() < 0.8 else self.keys)
        self.revoked(key, self.delete(key))

    def several_callers(self) -> None:
        """Some register the same device, others register or revoke other ones, all at once."""
        key, others = self.dice.choice(self.keys), self.dice.sample(self.keys, 5)
        calls = [(key, self.some_fields(key))] * 4
        calls += [(other, self.some_fields(other)) for other in others[:3] if other != key]
        leaving = [other for other in others[3:] if other != key]
        asked_at = time.monotonic()
        with ThreadPoolExecutor(len(calls) + len(leaving)) as callers:
            answering = [callers.submit(self.post, *call) for call in calls]
            revoking = [callers.submit(self.delete, one) for one in leaving]
        answers = [one.result() for one in answering]
        may_have_ended = calls[0][1].get("ttl_seconds") == SHORT_S and time.monotonic() - asked_at > SHORT_S / 2
        assert may_have_ended or sum(answer.status_code == httpx.codes.CREATED for answer in answers[:4]) <= 1
        for (one, given), answer in sorted(zip(calls, answers, strict=True), key=self.turn):
            self.answered(one, given, answer, perhaps_before=may_have_ended and one == key)
        for one, told in zip(leaving, revoking, strict=True):
            self.revoked(one, told.result())

    def turn(self, one: tuple[tuple[str, dict[str, Any]], httpx.Response]) -> int:
        """The order of answers: renewals of a device whose ttl then ended, what made it anew, the rest."""
        (key, given), answer = one
        before = self.model.known.get(key)
        if answer.status_code == httpx.codes.CREATED:
            return 1
        may_end = before and (before.may_be_over or given.get("ttl_seconds") == SHORT_S)
        if not (before and may_end and answer.is_success):
            return 2
        said = answer.json()
        as_before, anew = (entry.with_fields(given) for entry in (before, Entry(tuple(said["addresses"]))))
        return 0 if as_before.fits(said) and not anew.fits(said) else 2

    def mistaken(self) -> None:
        """A device of one protocol asks to come in by another one, with the same key."""
        way, other = self.dice.sample(self.certified, 2)
        key = self.dice.choice(way.keys)
        entry = self.model.known.get(key)
        if entry and not entry.may_be_over and not entry.out:
            answer = self.world.call("POST", "/v1/peers", json={**way.body(key), "protocol": other.protocol})
            assert (answer.status_code, answer.json()["field"]) == (422, "public_key")

    def visit(self) -> None:
        able = list(filter(self.visitors.can_come, self.openvpn.keys))
        if able and self.is_sure_of(self.openvpn):
            self.comes_by_openvpn(self.dice.choice(able))

    def comes_by_openvpn(self, key: str) -> None:
        must, may_before = self.model.must_and_may(lambda _: True)
        is_in = self.visitors.comes(key)
        self.trace[-1] += f"\n    {key[:4]} {'is in' if is_in else 'is refused'}"
        if is_in:
            assert key in may_before
        else:
            assert key not in must

    def some_fields(self, key: str) -> dict[str, Any]:
        choices = CHOICES | (SECRET if key in self.wireguard.keys else {})
        return {name: self.dice.choice(values) for name, values in choices.items() if self.dice.random() < 0.5}
