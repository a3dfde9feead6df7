"""Logs: one line an event, as JSON on standard error, so that no text in an event makes a line or a field of its own.

`ts`, `level`, `logger` and `event` are in each line. What is logged with `extra=fields(…)` has those beside them.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

REPEATED_AFTER_S = 60.0
"""A line that says the same as an earlier one is held back for so long."""
MAX_REMEMBERED = 256
"""Different lines that are remembered; then all are forgotten."""


def fields(**values: object) -> dict[str, dict[str, object]]:
    """For `extra` of a logging call: members of the line. Those that are None are left out."""
    return {"fields": {name: value for name, value in values.items() if value is not None}}


class JsonLines(logging.Formatter):
    """A record as one line of JSON in ASCII; a traceback is the member `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage().strip(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(getattr(record, "fields", {}) | line, default=str)


class NotTwice(logging.Filter):
    """Holds back what was said a moment ago. The next line that says it again tells how often that was.

    Lines with fields are events of their own, and always pass.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str, str], float] = {}
        self._held_back: dict[tuple[str, str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if hasattr(record, "fields"):
            return True
        what = (record.name, record.getMessage(), repr(record.exc_info and record.exc_info[1]))
        now = self._clock()
        if now - self._said.get(what, -REPEATED_AFTER_S) < REPEATED_AFTER_S:
            self._held_back[what] = self._held_back.get(what, 0) + 1
            return False
        if len(self._said) >= MAX_REMEMBERED:
            self._said.clear()
            self._held_back.clear()
        self._said[what] = now
        if repeated := self._held_back.pop(what, 0):
            record.fields = {"repeated": repeated}
        return True


def configure() -> None:
    """Log from INFO on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(NotTwice())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line per health check else


def each_line(log: logging.Logger, error: Exception) -> None:
    """Log an error that ends the process, with a line of its own for each of its sentences."""
    for sentence in str(error).splitlines():
        log.critical("%s", sentence)
