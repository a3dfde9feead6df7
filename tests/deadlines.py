"""Wait for what a test expects, with a deadline."""

import time
from collections.abc import Callable
from pathlib import Path

from console.errors import StepError
from console.waiting import until


def wait_for(condition: Callable[[], object], what: str, within: float = 10, log: Path | None = None) -> float:
    """Wait until a condition holds; seconds it took. At the deadline the error shows the end of `log`."""
    start = time.monotonic()
    until(condition, deadline=within, otherwise=lambda: StepError(f"{what}: not within {within} s.", log), poll=0.05)
    return time.monotonic() - start
