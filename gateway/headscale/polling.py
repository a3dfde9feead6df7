"""Waits for something that another system does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 1.0
"""Seconds between two looks."""


def poll(look: Callable[[], T | None], deadline_seconds: float) -> T | None:
    """What `look` answers first that is not None, or None when the deadline comes before; it looks at least once."""
    end = time.monotonic() + deadline_seconds
    while (seen := look()) is None:
        if time.monotonic() + INTERVAL > end:
            return None
        time.sleep(INTERVAL)
    return seen
