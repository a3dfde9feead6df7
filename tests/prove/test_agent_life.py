"""The agent's life, as in the unit tests, at length."""

import pytest

from tests.unit.agent.life import live


@pytest.mark.timeout(300)
def test_ten_thousand_steps() -> None:
    live(lives=50, steps=200)
