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
from pathlib import Path

from tests.deadlines import wait_for

ANSWER = re.compile(r"^\[([\d.]+)\] \d+ bytes from .*icmp_seq=(\d+) .*time=([\d.]+) ms$", re.MULTILINE)
"""When it came, by Unix time; which ping it answers; how long it took."""


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

    def count(self, printed: str, began: float, ended: float) -> None:
        """Take what ping printed; the moments are those between which gaps count."""
        answers = [(float(moment), int(number)) for moment, number, _ in ANSWER.findall(printed)]
        numbers = {number for _, number in answers}
        self.received = len(numbers)
        # The last one may have been on its way when ping was told to end.
        self.lost = sorted({*range(1, max(numbers, default=1) + 1)} - numbers)
        moments = [began, *(moment for moment, _ in answers if moment > began), ended]
        self.longest_gap_s = max(later - earlier for earlier, later in itertools.pairwise(moments))


@contextmanager
def pinging(
    inside: Sequence[str], address: str, interval_s: float = 0.1, *, is_up: bool = True, comes_back: bool = True
) -> Iterator[Pings]:
    """Ping an address, from the place where commands with the prefix `inside` run.

    The block begins after an answer, if the address `is_up`. If it `comes_back`, an answer after the block shows a loss
    at its end.
    """
    command = [*inside, "ping", "-n", "-D", "-W", "1", "-i", str(interval_s), address]
    pings = Pings()
    with tempfile.NamedTemporaryFile("w") as file:  # a pipe that nobody reads would stop ping once it is full
        printed = Path(file.name)
        process = subprocess.Popen(command, stdout=file)
        try:
            if is_up:
                wait_for(lambda: _is_answered(printed, since=0), f"the first answer of {address}")
            began = time.time()
            yield pings
            ended = time.time()
            if comes_back:
                wait_for(lambda: _is_answered(printed, since=ended), f"an answer of {address} after all")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)
        pings.count(printed.read_text(), began, time.time())


def _is_answered(printed: Path, since: float) -> bool:
    """Whether a ping that was sent since that moment is answered."""
    return any(
        float(moment) - float(took_ms) / 1000 > since for moment, _, took_ms in ANSWER.findall(printed.read_text())
    )
