"""Wait until an object is ready, or gone, or a deadline has passed."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubernetes_plugin.await_ import awaited
from lab.kubernetes_plugin.await_.readiness import READY, Readiness
from lab.kubernetes_plugin.errors import CancelledError, InitializationError, PluginError
from lab.kubernetes_plugin.kinds import Kind
from lab.kubernetes_plugin.names import annotations
from lab.kubernetes_plugin.object_client import Object, ObjectClient

SKIP_AWAIT = "pulumi.com/skipAwait"
TIMEOUT_SECONDS = "pulumi.com/timeoutSeconds"

_DELETION_SECONDS = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.05, 1.0, 1.5


@dataclass(frozen=True)
class Waiter:
    """How to wait: `report` shows a line of progress, `cancelled` ends every wait, `timeout` (s) is the program's."""

    report: Callable[[str], None]
    cancelled: threading.Event
    timeout: float | None = None

    def until_ready(self, client: ObjectClient, kind: Kind, obj: Object) -> Object:
        """Return the live object once it is ready.

        Raises InitializationError, with all that is known about the cause, when it fails or the time is over.
        """
        rule = awaited(kind)
        if rule is None or skips_await(obj):
            return obj
        name = obj["metadata"]["name"]
        readiness, live, shown = READY, obj, ""
        if rule.adjustable:
            seconds, sentence = self._seconds(obj, rule.seconds), f"'{name}' timed out waiting to be Ready"
        else:
            seconds, sentence = rule.seconds, f"Timeout occurred polling for '{name}'"
        started = time.monotonic()
        try:
            for _ in self.pauses(f"{kind.name} {name}", seconds):
                live = client.get(kind, obj["metadata"].get("namespace"), name) or live
                readiness = look(client, kind, live)
                tolerated = readiness.tolerated_after
                if readiness.ready or (tolerated is not None and time.monotonic() - started >= tolerated):
                    self.report("")
                    return live
                if readiness.failed:
                    sentence = not_initialized(name)
                    break
                if readiness.waiting_for != shown:
                    shown = readiness.waiting_for
                    self.report(shown)
        except PluginError as error:  # cancelled, or no answer: the object exists, and the state must say so
            sentence = str(error)
        raise InitializationError(sentence, readiness.reasons, live)

    def until_gone(self, client: ObjectClient, kind: Kind, obj: Object) -> None:
        """Return once the object (this one, not a successor of the same name) does not exist any more."""
        rule = awaited(kind)
        if rule and rule.skips_deletion and skips_await(obj):
            return
        metadata = obj["metadata"]
        self.report("Resource scheduled for deletion")
        for _ in self.pauses(f"{kind.name} {metadata['name']}", self._seconds(obj, _DELETION_SECONDS)):
            live = client.get(kind, metadata.get("namespace"), metadata["name"])
            if live is None or live["metadata"]["uid"] != metadata["uid"]:
                self.report("")
                return
            obj = live
        finalizers = obj["metadata"].get("finalizers", [])
        held = f"; its finalizers {finalizers} hold it" if finalizers else ""
        raise PluginError(f"'{metadata['name']}' timed out waiting to be deleted{held}.")

    def pauses(self, what: str, seconds: float) -> Iterator[None]:
        """Yield at once, then after ever longer pauses, the last time when the time is over.

        Raises CancelledError when the engine wants to stop.
        """
        deadline = time.monotonic() + seconds
        pause = _FIRST_PAUSE
        while True:
            yield
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if self.cancelled.wait(min(pause, left)):
                raise CancelledError(what)
            pause = min(pause * _GROWTH, _LONGEST_PAUSE)

    def _seconds(self, obj: Mapping[str, Any], default: float) -> float:
        """Return how long to wait: the resource's customTimeouts, else the object's annotation, else the default."""
        return self.timeout or float(annotations(obj).get(TIMEOUT_SECONDS) or default)


def look(client: ObjectClient, kind: Kind, live: Object) -> Readiness:
    """Look once at a live object; one that is being deleted is not ready."""
    if "deletionTimestamp" in live["metadata"]:
        return Readiness(
            ready=False,
            waiting_for="Resource is being deleted",
            reasons=("The object is being deleted by someone else",),
        )
    rule = awaited(kind)
    return rule.look(client, live) if rule else READY


def look_at_refresh(client: ObjectClient, kind: Kind, live: Object) -> Readiness:
    """Look at an object as a refresh does: it skips some kinds, and tolerates what a wait tolerates in the end."""
    rule = awaited(kind)
    if skips_await(live) or (rule and not rule.at_refresh):
        return READY
    readiness = look(client, kind, live)
    return READY if readiness.tolerated_after is not None else readiness


def not_initialized(name: str) -> str:
    """The sentence of an object that exists but is not as it should be."""
    return f"Resource '{name}' was created but failed to initialize"


def skips_await(obj: Mapping[str, Any]) -> bool:
    """Whether the program asks not to wait for this object."""
    return bool(annotations(obj).get(SKIP_AWAIT) == "true")
