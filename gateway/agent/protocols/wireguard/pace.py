"""When to look at the interface again: a look takes the longer the more peers there are, and news is wanted soon."""

import time
from collections.abc import Callable

LOOK_EVERY_S = 1.0
"""The shortest time between two looks."""
FEW = 1000
"""Peers that are looked at every second, however long that takes: it takes long only where others have the machine."""
REGULAR_SHARE = 0.01
"""The part of the time that regular looks take, where they would take more than that every second."""
SHARE = 0.04
"""The part of the time that all looks may take, those for news among them."""
SAVED_LOOKS = 10
"""So many looks may follow each other, where there were fewer than allowed before."""
LONGEST_PAUSE_S = 5.0
PAUSE_SHARE = 0.25
"""A pause is this part of the time that it has failed."""


class Pace:
    """Looks every second while that is cheap. With thousands of peers, soon after news, else seldom.

    50,000 peers are a look of 0.4 s. Then there is one every 40 s, and one within a second of news: ten times in a
    row, and with news all the time every 10 s.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked_at = clock()
        self._took = 0.0
        self._saved = 0.0
        """Seconds for which looks may go on."""
        self._heard = 0
        self._is_news = False

    def hear(self, count: int) -> None:
        """Take a count that changes whenever there may be news."""
        self._is_news = self._is_news or count != self._heard
        self._heard = count

    def is_due(self, *, urgent: bool = False) -> bool:
        """Whether to look now. An urgent look waits for nothing but its second."""
        rested = self._clock() - self._looked_at
        if rested < LOOK_EVERY_S:
            return False
        is_affordable = self._is_news and self._savings(rested) >= self._took
        return urgent or is_affordable or rested >= self._took / REGULAR_SHARE

    def looked(self, took: float, peers: int) -> None:
        """A look at so many peers is over that took so long."""
        now = self._clock()
        if peers <= FEW:
            took = min(took, LOOK_EVERY_S * REGULAR_SHARE)
        savings = self._savings(now - self._looked_at) if self._took else SAVED_LOOKS * took
        self._looked_at, self._took, self._is_news = now, took, False
        self._saved = savings - took

    def _savings(self, rested: float) -> float:
        return min(self._saved + SHARE * rested, SAVED_LOOKS * self._took)


class Pauses:
    """Between attempts that fail: the longer it has failed, the longer they are."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.trouble: str | None = None
        """Why the last attempt failed; None if it did not."""
        self._since = self._until = 0.0

    def begin(self, trouble: str) -> bool:
        """An attempt has failed; whether that is another failure than the last."""
        now, is_other = self._clock(), trouble != self.trouble
        if self.trouble is None:
            self._since = now
        self.trouble = trouble
        self._until = now + min(PAUSE_SHARE * (now - self._since), LONGEST_PAUSE_S)
        return is_other

    def end(self) -> None:
        """An attempt was successful, or all is new."""
        self.trouble, self._until = None, 0.0

    def is_over(self) -> bool:
        """Whether to try now."""
        return self._clock() >= self._until

    def failing_for(self) -> float:
        """Seconds since the first of the attempts that failed; 0 if the last did not."""
        return 0.0 if self.trouble is None else self._clock() - self._since
