"""The agent's tasks: each has a name. The first to end ends all, so that the agent never goes on with half of them."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

log = logging.getLogger(__name__)


def stop_signal() -> asyncio.Event:
    """Set by SIGTERM or SIGINT, from now on."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    return stop


async def repeat(step: Callable[[], Awaitable[None]], every_s: float, failing: str, *errors: type[Exception]) -> None:
    """Take a step again and again, until cancelled. One of these errors is logged unless the step before had it too."""
    trouble = None
    while True:
        try:
            await step()
            trouble = None
        except errors as error:
            if str(error) != trouble:
                log.warning("%s: %s", failing, error)
            trouble = str(error)
        await asyncio.sleep(every_s)


async def run_until_first_ends(tasks: Mapping[str, Coroutine[Any, Any, object]]) -> str:
    """Run all at once until one ends or fails, then cancel the others; the name of the first.

    Its exception, if it failed, is raised. Others that fail at the same time, or while they are cancelled, are logged.
    """
    running = [asyncio.create_task(task, name=name) for name, task in tasks.items()]
    done, rest = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    first = done.pop()
    for task in rest:
        task.cancel()
    others = [*done, *rest]
    for task, result in zip(others, await asyncio.gather(*others, return_exceptions=True), strict=True):
        if isinstance(result, Exception):
            log.error("task %s failed while it was ended: %s", task.get_name(), result)
    first.result()
    return first.get_name()
