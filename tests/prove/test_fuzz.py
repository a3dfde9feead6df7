"""A hundred thousand requests that nobody would send."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.unit.agent import api_fuzz
from tests.unit.agent.test_api import TOKEN, Gateway

pytestmark = pytest.mark.timeout(3600)

COUNT = 100_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = Gateway(Path(tmp_path_factory.mktemp("agent")))
    yield gateway
    gateway.store.close()


@settings(
    max_examples=COUNT,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(call=api_fuzz.calls(TOKEN))
async def test_no_request_is_a_defect(gateway: Gateway, call: api_fuzz.Call) -> None:
    await api_fuzz.check(gateway.app, call)
    assert set(gateway.plane.peers) <= {api_fuzz.KEY}
    gateway.devices.pool.free(list(gateway.devices.pool.resting))  # as `flows` does a moment later
