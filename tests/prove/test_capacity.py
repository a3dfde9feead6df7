"""What a gateway holds, as one table."""

import pytest

from tests.prove import capacity
from tests.prove.figures import show


@pytest.mark.timeout(1200)
def test_capacity() -> None:
    show(capacity.measured_table(list(capacity.COUNTS)))
