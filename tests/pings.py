"""Ping during a block of a test: what was lost, and how long nothing came."""

import itertools
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Pings:
    """How it went, once the block is over.

    Attributes:
        received: how many pings were answered.
        lost: the numbers of those that were not.
        longest_gap_s: the longest time without an answer.
    """

    received: int = 0
    lost: list[int] = field(default_factory=list)
    longest_gap_s: float = 0.0

    def count(self, printed: str, started: float, ended: float) -> None:
        """Take what ping printed between two moments."""
        answers = re.findall(r"^\[([\d.]+)\] \d+ bytes from .*icmp_seq=(\d+)", printed, re.MULTILINE)
        moments = [started, *(float(moment) for moment, _ in answers), ended]
        numbers = {int(number) for _, number in answers}
        self.received = len(numbers)
        # The last one may have been on its way when ping was told to end.
        self.lost = sorted({*range(1, max(numbers, default=1) + 1)} - numbers)
        self.longest_gap_s = max(later - earlier for earlier, later in itertools.pairwise(moments))


@contextmanager
def pinging(inside: Sequence[str], address: str, interval_s: float = 0.1) -> Iterator[Pings]:
    """Ping an address during the block, from the place where commands with the prefix `inside` run."""
    command = [*inside, "ping", "-n", "-D", "-W", "1", "-i", str(interval_s), address]
    pings, started = Pings(), time.time()
    with tempfile.TemporaryFile("w+") as printed:  # a pipe that nobody reads would stop ping once it is full
        process = subprocess.Popen(command, stdout=printed)
        try:
            yield pings
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)
            printed.seek(0)
            pings.count(printed.read(), started, time.time())
