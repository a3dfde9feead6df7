"""What one look at an object tells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes_plugin.object_client import Object, ObjectClient


@dataclass(frozen=True)
class Readiness:
    """One look: `waiting_for` is shown meanwhile; `reasons` explain a failure; `failed` means it is final.

    After `tolerated_after` seconds of waiting, and at a refresh, an object in this state counts as ready.
    """

    ready: bool
    waiting_for: str = ""
    reasons: tuple[str, ...] = ()
    failed: bool = False
    tolerated_after: float | None = None


READY = Readiness(ready=True)

Look = Callable[[ObjectClient, Object], Readiness]
"""Look once at a live object; the client finds what belongs to it (pods, endpoints)."""


def condition(obj: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the status condition of that type; empty when the object does not have it (yet)."""
    conditions = obj.get("status", {}).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == name), {})


def is_true(entry: Mapping[str, Any]) -> bool:
    """Whether a condition is there and true."""
    return entry.get("status") == "True"


def describe(entry: Mapping[str, Any]) -> str:
    """Write a condition as "[Reason] message"."""
    return f"[{entry.get('reason') or entry.get('type')}] {entry.get('message', '')}".strip()
