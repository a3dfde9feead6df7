"""Wait for something with a deadline, and say what did not come."""

import time
from collections.abc import Callable

from console.errors import StepError


def until(works: Callable[[], bool], *, deadline: float, otherwise: Callable[[], StepError], poll: float = 0.1) -> None:
    """Return as soon as `works()`; raise what `otherwise` makes when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not works():
        if time.monotonic() > end:
            raise otherwise()
        time.sleep(poll)
