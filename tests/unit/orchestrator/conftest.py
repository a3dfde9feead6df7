"""The running reference orchestrator, and what it asks."""

from collections.abc import AsyncIterator, Iterator

import pytest
import respx

from tests.unit.orchestrator.june import June, running


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture(autouse=True)
def user_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_USER_HEADER", "X-Forwarded-User")


@pytest.fixture
async def june() -> AsyncIterator[June]:
    async with running() as june:
        yield june
