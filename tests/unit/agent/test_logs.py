"""A log has one line an event, whatever the event's texts are, and does not repeat itself."""

import io
import json
import logging
from typing import Any

import pytest

from gateway.agent import logs
from gateway.agent.logs import JsonLines, NotTwice, fields


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Log:
    """A logger of the test's own, and what it has written."""

    def __init__(self, name: str) -> None:
        self.clock = Clock()
        self._stream = io.StringIO()
        handler = logging.StreamHandler(self._stream)
        handler.setFormatter(JsonLines())
        handler.addFilter(NotTwice(self.clock))
        self.logger = logging.Logger(name)
        self.logger.addHandler(handler)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]


@pytest.fixture
def log(request: pytest.FixtureRequest) -> Log:
    return Log(request.node.name)


def test_a_line_has_its_time_level_logger_event_and_fields(log: Log) -> None:
    log.logger.warning("a %s happens", "thing", extra=fields(key="abc", name=None, count=3))
    (line,) = log.lines()
    assert line.pop("ts").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": log.logger.name,
        "event": "a thing happens",
        "key": "abc",
        "count": 3,
    }


@pytest.mark.parametrize("text", ["a\nb", 'a", "level": "info', "a\r\x1b[2Jb", "a\u2028b\u0085c", "\ud800", "📱"])
def test_no_text_makes_a_line_or_a_field_of_its_own(log: Log, text: str) -> None:
    log.logger.error("seen: %s.", text, extra=fields(name=text, level=text))
    (line,) = log.lines()
    assert (line["event"], line["name"], line["level"]) == (f"seen: {text}.", text, "error")
    assert set(line) == {"ts", "level", "logger", "event", "name"}


def test_a_traceback_is_in_its_line(log: Log) -> None:
    try:
        int("no\nway")
    except ValueError:
        log.logger.exception("it failed")
    (line,) = log.lines()
    assert line["event"] == "it failed"
    assert line["exception"].startswith("Traceback")


def test_what_was_just_said_is_held_back_and_counted(log: Log) -> None:
    for _ in range(3):
        log.logger.warning("%s is away", "wg0")
        log.clock.now += 1
    log.logger.warning("%s is away", "wg1")
    assert [line["event"] for line in log.lines()] == ["wg0 is away", "wg1 is away"]
    log.clock.now += logs.REPEATED_AFTER_S
    log.logger.warning("%s is away", "wg0")
    assert log.lines()[-1]["repeated"] == 2


def test_events_with_fields_always_pass(log: Log) -> None:
    for _ in range(2):
        log.logger.info("registered", extra=fields(key="abc"))
    assert len(log.lines()) == 2


def test_different_lines_are_not_remembered_for_ever(log: Log) -> None:
    for number in range(2 * logs.MAX_REMEMBERED + 2):
        log.logger.info("%d", number)
    assert len(log.lines()) == 2 * logs.MAX_REMEMBERED + 2


def test_an_error_at_the_end_has_a_line_for_each_sentence(log: Log) -> None:
    logs.each_line(log.logger, ValueError("A is not set\nB is not set"))
    assert [line["event"] for line in log.lines()] == ["A is not set", "B is not set"]
