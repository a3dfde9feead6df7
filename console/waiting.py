"""Wait for something with a deadline, and say what did not come.

It is not stamina's to do: that retries what failed, after ever longer pauses and with a warning each time.
Here "not yet" is no failure, and a short, even pause sees the moment when it comes.
"""

import time
from collections.abc import Callable


def until(
    works: Callable[[], object], *, deadline: float, otherwise: Callable[[], Exception], poll: float = 0.1
) -> None:
    """Return as soon as `works()`; raise what `otherwise` makes when it does not within `deadline` seconds."""
    end = time.monotonic() + deadline
    while not works():
        if time.monotonic() > end:
            raise otherwise()
        time.sleep(poll)
