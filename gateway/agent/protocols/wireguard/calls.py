"""Calls to devices whose sessions went with their interface: their own side would notice that only after 15 s.

A call is a handshake that the interface begins. WireGuard repeats a lost one after 5 s, so it is made once more before.
"""

import time
from collections.abc import Callable, Iterable

from gateway.agent.protocols.wireguard.wg import SeenInterface
from gateway.agent.store import Device

CALL_BACK_WITHIN_S = 3600
"""A peer heard from this recently is called when its session is lost; others are waited for."""
CALL_KEEPALIVE_S = 25
"""Any persistent keepalive makes the interface call a peer at once; the next `reconcile` takes it back."""
AGAIN_AFTER_S = 1.0
AGAIN_AT_MOST = 1000
"""Where more do not answer, most of them are away, and calling them again would hold up the others."""


class Calls:
    """Whom to call, and who has not answered yet."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[str, float] = {}
        """Keys of those that were called once, and when (monotonic clock)."""

    @property
    def is_waiting(self) -> bool:
        """Whether the next look may find one that is to be called again."""
        return bool(self._waiting)

    def is_worth(self, device: Device) -> bool:
        """Whether the device is called when the interface does not know it any more."""
        return device.endpoint is not None and device.last_handshake > self._clock() - CALL_BACK_WITHIN_S

    def made(self, public_keys: Iterable[str]) -> None:
        """These were called for the first time."""
        self._waiting.update(dict.fromkeys(public_keys, time.monotonic()))

    def unanswered(self, seen: SeenInterface) -> set[str]:
        """Those to be called again, once: the interface has heard nothing of them yet."""
        due = [key for key, called_at in self._waiting.items() if seen.asked_at - called_at >= AGAIN_AFTER_S]
        for key in due:
            del self._waiting[key]
        silent = {key for key in due if (peer := seen.peer(key)) and not peer.last_handshake}
        return silent if len(silent) <= AGAIN_AT_MOST else set()
