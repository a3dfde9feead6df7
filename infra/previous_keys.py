"""A WireGuard key that is kept beside its successor: what is told of those who use it, and when its end is a loss.

No Pulumi in here: it compares plain values, as the state has them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Held = Mapping[str, Any]
"""What configs hold of one gateway (`infra.client_configs`)."""

PREVIOUS = "previous"
"""What older configs hold, while the key before the present one is kept: public_key, endpoint, and until if it is to
end by itself."""


@dataclass(frozen=True)
class Counted:
    """How many devices a gateway has."""

    devices: int
    unmoved: int | None
    """Of them those that were not heard by the present key since it was rotated. None where the gateway does not have
    two keys, such as a machine whose playbook has not run since: all may use the one that it has."""

    @property
    def left(self) -> str:
        """Who still uses the previous key, for people; empty where the gateway does not have one."""
        return "" if self.unmoved is None else f"devices that still use it: {self.unmoved} of {self.devices}"


_DEVICES, _UNMOVED = (
    re.compile(rf"^{name} ([0-9.e+]+)$", re.MULTILINE) for name in ("meshgate_peers", "meshgate_peers_on_previous_key")
)


def counted(metrics: str) -> Counted | None:
    """What the metrics of a gateway tell; None if they do not."""
    devices, unmoved = (pattern.search(metrics) for pattern in (_DEVICES, _UNMOVED))
    return Counted(int(float(devices[1])), int(float(unmoved[1])) if unmoved else None) if devices else None


def keeps(new: Held, endpoint: str) -> bool:
    """Whether configs that dial this endpoint go on to work by the previous key: it is the one that they hold."""
    return bool((previous := new.get(PREVIOUS)) and previous["endpoint"] == endpoint)


def is_taken_away(old: Held, new: Held) -> bool:
    """Whether a rotation ends with a change: it makes no new key."""
    return PREVIOUS in old and PREVIOUS not in new


def ends(old: Held, new: Held) -> bool:
    """Whether a change ends the previous key before its time."""
    if (previous := old.get(PREVIOUS)) is None:
        return False
    return not _is_over(previous) and not keeps(new, previous["endpoint"])


def told(before: Mapping[str, Held], after: Mapping[str, Held], devices: Mapping[str, Counted]) -> Iterator[str]:
    """A sentence for each gateway that has such a key now, or will have it."""
    for name, new in after.items():
        if (previous := new.get(PREVIOUS)) and (old := before.get(name)) is not None:
            yield f"gateway {name}: {_told(previous, devices.get(name), begins=PREVIOUS not in old)}"


def _told(previous: Held, now: Counted | None, *, begins: bool) -> str:
    until = previous.get("until", "`previous_key` is taken out")
    if begins:
        devices = f"its devices ({now.devices} in all)" if now else "its devices"
        return f"its WireGuard key becomes another one, and {devices} go on with the one before it until {until}."
    if now and now.unmoved == 0:
        return "no device uses the WireGuard key before the present one any more: `previous_key` can be taken out."
    count = f"; {now.left}" if now and now.left else ""
    return f"the WireGuard key before the present one works until {until}{count}."


def _is_over(previous: Held) -> bool:
    until = previous.get("until")
    return until is not None and datetime.now(UTC) >= datetime.fromisoformat(until)
