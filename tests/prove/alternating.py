"""Ratios are of runs side by side: what else the machine does falls on both."""

import statistics
import time
from collections.abc import Callable


def medians(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Median seconds of each, run in turns."""
    times = [(seconds(one), seconds(other)) for _ in range(rounds)]
    return statistics.median(time for time, _ in times), statistics.median(time for _, time in times)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.monotonic()
    call()
    return time.monotonic() - start
