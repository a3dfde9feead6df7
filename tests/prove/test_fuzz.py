"""A hundred thousand requests that nobody would send, and some that register devices."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from gateway.agent.bodies import PROTOCOLS
from tests.unit.agent import api_fuzz
from tests.unit.agent.test_api import TOKEN, Gateway

pytestmark = pytest.mark.timeout(3600)

COUNT = 100_000


def test_no_request_is_a_defect(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    registered: set[str] = set()

    async def asked(call: api_fuzz.Call) -> None:
        await api_fuzz.check(gateway.app, call)
        registered.update(device.protocol for device in gateway.store.everyone())
        await gateway.make_room()

    with asyncio.Runner() as runner:

        @settings(
            max_examples=COUNT,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(call=api_fuzz.calls(TOKEN))
        def check(call: api_fuzz.Call) -> None:
            runner.run(asked(call))

        check()
    gateway.store.close()
    assert registered == set(PROTOCOLS), "they come as far as every protocol"
