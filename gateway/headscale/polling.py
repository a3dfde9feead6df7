"""Waits for something that another system does in its own time.

Looks become rarer: a pause is a tenth of the time waited so far, and at least INTERVAL. So what comes
is seen at most a tenth late, and a hundred that wait for what never comes are no load.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

INTERVAL = 1.0
"""Seconds between the first looks."""


def poll(look: Callable[[], T | None], deadline_seconds: float) -> T | None:
    """What `look` answers first that is not None, or None when the deadline comes before; it looks at least once."""
    start = time.monotonic()
    while (seen := look()) is None:
        waited = time.monotonic() - start
        if waited + INTERVAL > deadline_seconds:
            return None
        time.sleep(min(max(INTERVAL, waited / 10), deadline_seconds - waited))
    return seen
