"""Whatever happens, in whatever order: what the real agent acknowledged is true."""

import pytest

from tests.contract.agent.walk import Walk
from tests.contract.agent.world import World

STEPS, WITHIN_S = 300, 60


@pytest.mark.timeout(180)
def test_what_was_acknowledged_is_true(fresh_world: World) -> None:
    assert Walk(fresh_world, seed=1).go(STEPS, WITHIN_S) >= STEPS / 10
