"""What a gateway holds, as one table."""

import pytest

from tests.prove import capacity


@pytest.mark.timeout(1200)
def test_capacity() -> None:
    capacity.main(list(capacity.COUNTS))
