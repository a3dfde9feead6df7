"""Wait for what a test expects, with a deadline."""

import time
from collections.abc import Callable
from pathlib import Path

from console import environment
from console.errors import StepError
from console.waiting import until

PATIENCE = float(environment.callers().get("TEST_PATIENCE", "1"))
"""How many times as long a slower machine may take, as one that is emulated."""


def wait_for(condition: Callable[[], object], what: str, within: float = 10, log: Path | None = None) -> float:
    """Wait until a condition holds; seconds it took. At the deadline the error shows the end of `log`."""
    start = time.monotonic()
    within *= PATIENCE
    until(condition, deadline=within, otherwise=lambda: StepError(f"{what}: not within {within} s.", log), poll=0.05)
    return time.monotonic() - start
