"""Hides the frames of exceptions that are for the user alone.

Pulumi's plugin shows an exception by `traceback.format_exc()`, whose only switch is Python's own, for all exceptions.
So it is off while one of ours lives, and a bug that comes later is shown whole.
"""

import sys
import threading
import weakref
from typing import TypeVar

_LOCK = threading.RLock()
"""Of the same thread too: an exception may end while another one begins, wherever memory is freed."""
_ALIVE: set[int] = set()


_E = TypeVar("_E", bound=Exception)


def of(error: _E) -> _E:
    """The exception, whose frames are not shown. Whoever raises it keeps no name for it, so that it goes when shown."""
    with _LOCK:
        _ALIVE.add(id(error))
        weakref.finalize(error, _show, id(error)).atexit = False
        sys.tracebacklimit = 0
    return error


def _show(gone: int) -> None:
    with _LOCK:
        _ALIVE.discard(gone)
        if not _ALIVE:
            vars(sys).pop("tracebacklimit", None)
