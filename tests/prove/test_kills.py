"""`pulumi up` and `pulumi destroy`, killed again and again at moments that nobody chose."""

import random
import time

import pytest

from lab.pulumi.stack import Stack
from tests.e2e import life
from tests.prove.figures import show

pytestmark = pytest.mark.timeout(300)

LONGEST = {"up": 30.0, "destroy": 15.0}
"""Seconds that each takes at most when it is left alone."""


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_killed_the_next_up_finishes(stack: Stack, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    operation = chance.choice(["up", "destroy"])
    if operation == "up":
        life.destroy(stack)
    moment = time.monotonic() + chance.uniform(0.5, LONGEST[operation])
    killed = life.kill(stack, operation, lambda _: time.monotonic() > moment)
    show(f"seed {seed}: {operation} {'killed' if killed else 'was faster'}")
    life.up(stack)
    life.assert_whole(stack)
