"""What wrong requests cost an address."""

import pytest

from gateway.agent import throttling
from gateway.agent.throttling import FAILURES, Failures


def test_an_address_is_slow_from_its_tenth_failure_to_a_second_after_its_last() -> None:
    now = 1000.0
    failures = Failures(lambda: now)
    for _ in range(FAILURES - 1):
        failures.note("a")
    assert not failures.slow("a")
    for _ in range(1000):
        failures.note("a")
    assert failures.slow("a")
    assert not failures.slow("b")
    now += 1.0
    assert not failures.slow("a")
    failures.note("a")
    assert failures.slow("a"), "one failure a second is all that it has now"
    now += FAILURES
    failures.note("a")
    assert not failures.slow("a")


def test_failures_of_many_addresses_take_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "MAX_ADDRESSES", 10)
    failures = Failures(lambda: 0.0)
    for _ in range(FAILURES):
        failures.note("first")
    assert failures.slow("first")
    for number in range(9):
        failures.note(f"other-{number}")
    assert failures.slow("first")
    failures.note("tenth")
    assert not failures.slow("first")
