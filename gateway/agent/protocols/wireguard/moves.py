"""Which of the gateway's two keys a device uses, as the times of its handshakes tell."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Handshakes(NamedTuple):
    """Times of devices' last handshakes by the present key and by the previous one, in seconds since 1970; 0: never."""

    present: Mapping[str, int]
    previous: Mapping[str, int]


class Moved(NamedTuple):
    """Public keys of devices that have moved, by the key that they use now."""

    to_present: list[str]
    to_previous: list[str]


SETTLES_S = 2.0
"""A packet by the old session may be under way longer than the handshake was, and nft learns from it. So a move is told
again for this time."""


class Moves:
    """Compares each look at both interfaces with the one before."""

    def __init__(self, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._before = Handshakes({}, {})
        self._told: dict[str, tuple[bool, float]] = {}
        """Whether a device has moved to the previous key, and until when that is told (monotonic clock)."""

    def take(self, seen: Handshakes) -> Moved:
        """Those that have had a handshake since, or a moment ago: the later one counts.

        Times are whole seconds. Where both are the same, only a packet of the device can tell.
        """
        before, self._before = self._before, seen
        now = self._monotonic()
        self._told = {key: told for key, told in self._told.items() if now < told[1]}
        news = {
            key
            for times, earlier in zip(seen, before, strict=True)
            for key, when in times.items()
            if when and when != earlier.get(key, 0)
        }
        for key in news:
            present, previous = (times.get(key, 0) for times in seen)
            is_new = present != before.present.get(key, 0), previous != before.previous.get(key, 0)
            if is_new == (True, False) or present > previous:
                self._told[key] = (False, now + SETTLES_S)
            elif is_new == (False, True) or previous > present:
                self._told[key] = (True, now + SETTLES_S)
        moved = Moved([], [])
        for key, (to_previous, _) in self._told.items():
            moved[to_previous].append(key)
        return moved

    def forget(self) -> None:
        """Compare the next look with nothing: what was told of the last one came to nothing."""
        self._before = Handshakes({}, {})

    def heard_within(self, seconds: int) -> int:
        """How many devices had their last handshake, by whichever key, no longer ago."""
        since = self._clock() - seconds
        keys = self._before.present.keys() | self._before.previous.keys()
        return sum(any(times.get(key, 0) >= since for times in self._before) for key in keys)
