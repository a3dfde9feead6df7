"""Recognises what a killed run left on a Headscale server: keys carry a mark in the microseconds of their expiration.

A key has no name or label to find it by. A run that dies between making a key and storing its id leaves it behind.
Both ends of the versions that we serve keep the microseconds (tests/contract/test_headscale.py).
"""

import hashlib
from datetime import UTC, datetime, timedelta

_RANGE = 999_983
"""A prime below a million: two owners share a mark once in a million."""


def expiration(owner: str, *, after: timedelta) -> datetime:
    """The moment after that time from now, marked as the owner's."""
    return (datetime.now(UTC) + after).replace(microsecond=_mark(owner))


def is_marked(moment: datetime | None, owner: str) -> bool:
    """Whether the owner marked that moment."""
    return moment is not None and moment.microsecond == _mark(owner)


def _mark(owner: str) -> int:
    return 1 + int.from_bytes(hashlib.sha256(owner.encode()).digest()[:8]) % _RANGE
