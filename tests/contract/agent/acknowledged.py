"""What the agent acknowledged of devices: by its answers, and by what could be known when they came."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

SHORT_S, SURELY_OVER_S = 2, 4.5
"""The short ttl, and when it is over for certain: whole seconds, a sweep a second, and a busy machine."""
LONG_S = 1000
"""The ttl that ends only where the clock is ahead."""


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
            *(tuple(said["addresses"]), said["name"]),
            *(said.get("has_preshared_key", False), said["expires_at"] is None),
        )

    @property
    def may_be_over(self) -> bool:
        return self.ttl == SHORT_S

    @property
    def is_over(self) -> bool:
        return self.may_be_over and time.monotonic() - self.given_at > SURELY_OVER_S


Entries = dict[str, Entry]


class Acknowledged:
    """The model: all devices that are known, by their ids."""

    def __init__(self) -> None:
        self.known: Entries = {}
        self.over: set[str] = set()
        """Ids of devices whose time is over: unknown, but they may be stored still, and then can be revoked."""

    def registered(
        self, key: str, fields: dict[str, Any], said: dict[str, Any], *, is_new: bool | None, perhaps_before: bool
    ) -> None:
        """`is_new` is None where the answer does not tell; `perhaps_before`: who asked the same before got no answer.

        Then it may have been done twice.
        """
        before = self.known.get(key)
        is_certain = not perhaps_before and not (before and (before.may_be_over or before.out))
        if is_new is not None and is_certain:
            assert is_new == (before is None)
        anew = Entry(tuple(said["addresses"]))
        possible = [entry for entry in (before, anew) if entry and (not is_certain or entry is (before or anew))]
        renewed = [entry.with_fields(fields) for entry in possible]
        fitting = [entry for entry in renewed if entry.fits(said)]
        assert fitting, f"{said} is none of {renewed}"
        self.known[key] = fitting[0]
        self.over.discard(key)

    def revoked(self, key: str, *, was_known: bool, perhaps_before: bool) -> None:
        """It is gone, and the answer was that it was known, or not."""
        before = self.known.pop(key, None)
        if not (perhaps_before or key in self.over or (before and (before.may_be_over or before.out))):
            assert was_known == (before is not None)
        self.over.discard(key)

    def not_forgotten(self, key: str) -> None:
        """It is out, and comes back if the agent is killed."""
        if before := self.known.get(key):
            self.known[key] = replace(before, out=True)

    def killed(self) -> None:
        """A revocation that could not be kept was known to that process alone, as its answer said."""
        self.known = {key: replace(entry, out=False) for key, entry in self.known.items()}

    def must_and_may(self, counts: Callable[[Entry], bool]) -> tuple[Entries, Entries]:
        """Who must be in now, and who may be: of the devices that count, those whose ttl may be over, too."""
        self.over |= {key for key, entry in self.known.items() if entry.is_over}
        self.known = {key: entry for key, entry in self.known.items() if not entry.is_over}
        may = {key: entry for key, entry in self.known.items() if counts(entry) and not entry.out}
        return {key: entry for key, entry in may.items() if not entry.may_be_over}, may


def compare(what: str, must: Entries, may: Entries, found: dict[str, tuple[str, ...]]) -> list[str]:
    """What differs, in words."""
    return [
        *(f"{key[:4]} is not {what}" for key in must if key not in found),
        *(f"{key[:4]} is {what}" for key in found if key not in may),
        *(f"{key[:4]} is {what} at {found[key]}" for key in found if key in must and found[key] != must[key].addresses),
    ]
