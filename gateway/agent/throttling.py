"""Wrong tokens, and what is no HTTP, slow an address down: it has a few failures free, and each is forgotten in time.

An address is an IPv4 address or an IPv6 /64 (`admission.subject`).
"""

import time
from collections.abc import Callable

FAILURES = 10
"""Wrong requests that an address has free."""
FAILURE_FORGOTTEN_S = 1.0
"""One of them is forgotten each time this has passed. So an address is slow no longer than this after its last."""
SLOW_AT_ONCE = 16
"""Connections of a slow address that wait for their turn; others are refused."""
MAX_ADDRESSES = 4096
"""Addresses whose failures are remembered: half a megabyte."""


class Failures:
    """What came wrong of late, by address: no token or a bad one, or what is no HTTP."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._forgotten_at: dict[str, float] = {}
        """When all failures of an address will be forgotten; those that failed last stand last."""

    def note(self, address: str) -> None:
        """One more."""
        now = self._clock()
        forgotten_at = max(now, self._forgotten_at.pop(address, now)) + FAILURE_FORGOTTEN_S
        self._forgotten_at[address] = min(forgotten_at, now + FAILURES * FAILURE_FORGOTTEN_S)
        if len(self._forgotten_at) > MAX_ADDRESSES:
            del self._forgotten_at[next(iter(self._forgotten_at))]

    def slow(self, address: str) -> bool:
        """Whether the address has used up what it had free."""
        left = self._forgotten_at.get(address, 0.0) - self._clock()
        return left > (FAILURES - 1) * FAILURE_FORGOTTEN_S
