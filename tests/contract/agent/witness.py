"""Calls the agent, takes what it answers for acknowledged, and compares that with whom the real programs let in."""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import httpx

from tests.contract.agent.acknowledged import Acknowledged, Entry, compare
from tests.contract.agent.visitors import Visitors
from tests.contract.agent.ways_in import IpSec, OpenVpn, Way, WireGuard
from tests.contract.agent.world import World
from tests.deadlines import wait_for
from tests.device_paths import device_path

WIREGUARD_DEVICES, CERTIFIED_DEVICES = 6, 3
"""The latter by each protocol."""
SETTLED_S = 10
STEADY_S = 20
"""OpenVPN takes 3 s to end and start, and does so twice if the agent's certificate changes meanwhile."""
TOLD_S = 1.5
"""Readiness is as of a second ago at most."""


class Witness:
    """The world, the model of it, and how they are compared."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.wireguard = WireGuard(world, WIREGUARD_DEVICES)
        self.openvpn = OpenVpn(world, CERTIFIED_DEVICES)
        self.ipsec = IpSec(world, CERTIFIED_DEVICES)
        self.ways: tuple[Way, ...] = (self.wireguard, self.openvpn, self.ipsec)
        self.visitors = Visitors(world, self.openvpn)
        self.model = Acknowledged()
        self.trace: list[str] = []
        self.is_full = False
        """The disk."""
        self.shaken: dict[Way, float] = {}
        """Those that something happened to, and when: for a moment the agent may not know whether they are there."""

    def way(self, key: str) -> Way:
        return next(way for way in self.ways if key in way.keys)

    def shake(self, *ways: Way) -> None:
        self.shaken |= dict.fromkeys(ways, time.monotonic())

    def is_sure_of(self, way: Way) -> bool:
        """Whether the agent knows that it is there."""
        return not way.away and way not in self.shaken

    # What callers ask, and what the answers mean.

    def post(self, key: str, fields: dict[str, Any]) -> httpx.Response:
        return self.world.call("POST", "/v1/peers", json={**self.way(key).body(key), **fields})

    def delete(self, key: str) -> httpx.Response:
        return self.world.call("DELETE", device_path(key))

    def answered(
        self, key: str, fields: dict[str, Any], answer: httpx.Response, *, perhaps_before: bool = False
    ) -> None:
        """Take what a registration was answered; `perhaps_before`: an earlier one with the same fields was not."""
        way, status = self.way(key), answer.status_code
        self.trace[-1] += f"\n    register {way.protocol} {key[:4]} {fields}: {status}"
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            assert self.is_full, answer.text
            return
        if way in self.shaken:
            assert status in {200, 201, 202}, answer.text
        else:
            assert (status == 202) if way.away else status in {200, 201}, answer.text
        is_new = None if status == httpx.codes.ACCEPTED else status == httpx.codes.CREATED
        said = answer.json()
        self.model.registered(key, fields, said, is_new=is_new, perhaps_before=perhaps_before)
        if way is self.openvpn:
            self.visitors.learn(key, said)
        is_in = status != httpx.codes.ACCEPTED and not self.model.known[key].may_be_over
        if is_in and self.is_sure_of(way) and (inside := way.inside()) is not None:
            assert key in inside, "it is in as soon as that is answered"

    def revoked(self, key: str, answer: httpx.Response, *, perhaps_before: bool = False) -> None:
        way, status = self.way(key), answer.status_code
        self.trace[-1] += f"\n    revoke {way.protocol} {key[:4]}: {status}"
        if status == httpx.codes.SERVICE_UNAVAILABLE:
            assert self.is_full or way in self.shaken, answer.text
            self.model.not_forgotten(key)
            if not self.is_full:
                self.wait_until_forgotten([key])
            return
        assert status in {204, 404}, answer.text
        self.model.revoked(key, was_known=status == httpx.codes.NO_CONTENT, perhaps_before=perhaps_before)
        if self.is_sure_of(way):
            assert key not in (way.inside() or ()), "it is out as soon as that is answered"
            assert not self.visitors.has_in(key), "its session has ended as soon as that is answered"

    def wait_until_forgotten(self, keys: Iterable[str]) -> None:
        for key in keys:
            wait_for(partial(self._is_forgotten, key), "what was not forgotten", SETTLED_S)
            self.model.revoked(key, was_known=True, perhaps_before=True)

    def _is_forgotten(self, key: str) -> bool:
        return self.delete(key).status_code in {httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND}

    # What must become true.

    def settle(self, counts: Callable[[Entry], bool] = lambda _: True) -> None:
        """List and programs have the devices that count; those whose ttl may be over, or not."""
        if self.differences(counts):
            wait_for(lambda: self.differences(counts) == [], "agreement", SETTLED_S)
        self.visitors.settled(*self.model.must_and_may(counts))
        self._calm()

    def _calm(self) -> None:
        """Those that were shaken are steady after a while, and readiness says so."""
        for way, since in list(self.shaken.items()):
            passed = time.monotonic() - since
            if passed > TOLD_S and way.is_steady() and way.is_told(self.world.readiness()[1].get("missing", [])):
                del self.shaken[way]
            else:
                assert passed < STEADY_S, f"{way.protocol} is not steady: {self.world.readiness()}"

    def differences(self, counts: Callable[[Entry], bool]) -> list[str]:
        must, may = self.model.must_and_may(counts)
        page = {one["id"]: one for one in self.world.call("GET", "/v1/peers").json()["peers"]}
        found = compare("listed", must, may, {key: tuple(one["addresses"]) for key, one in page.items()})
        found += [
            f"{key[:4]} is a device of {one['protocol']} and called {one['name']}"
            for key, one in page.items()
            if key in must and (one["protocol"], one["name"]) != (self.way(key).protocol, must[key].name)
        ]
        for way in self.ways:
            if not way.away:
                found += way.differences(*({key: some[key] for key in some.keys() & way.keys} for some in (must, may)))
        found += self.visitors.differences(must, may)
        if found and not self.trace[-1].endswith(line := f"\n    not yet: {sorted(found)}"):
            self.trace[-1] += line
        return found
