import asyncio
import gc
import logging

import pytest

from gateway.agent.tasks import run_until_first_ends


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("forever")


async def nothing() -> None:
    pass


async def defect() -> None:
    raise RuntimeError("broken")


async def bad_loser() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as error:
        raise RuntimeError("no") from error


async def test_the_first_to_end_ends_all() -> None:
    ended: list[str] = []
    assert await run_until_first_ends({"forever": forever(ended), "nothing": nothing()}) == "nothing"
    assert ended == ["forever"]


async def test_the_first_to_fail_ends_all() -> None:
    ended: list[str] = []
    with pytest.raises(RuntimeError, match="broken"):
        await run_until_first_ends({"forever": forever(ended), "defect": defect()})
    assert ended == ["forever"]


async def test_failures_on_the_way_out_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        await run_until_first_ends({"bad loser": bad_loser(), "nothing": nothing()})
    assert "task bad loser failed while it was ended: no" in caplog.text


async def test_of_two_that_fail_at_once_one_is_raised_and_one_logged(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio would tell of the other by a traceback, as of one that nobody asks for."""
    with pytest.raises(RuntimeError, match="broken"):
        await run_until_first_ends({"one": defect(), "other": defect()})
    gc.collect()
    (record,) = caplog.records
    assert record.getMessage().endswith("failed while it was ended: broken")
