"""A protocol's own server, which a process of ours runs beside the agent: started again at once when it dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable

SHORT_LIFE_S = 1.0
SHORT_LIVES = 3
"""A server that lived shorter so many times in a row will not live."""
GRACE_S = 5.0
"""It tells its clients of its end, which takes OpenVPN two seconds."""


class DaemonError(Exception):
    """A server does not live; its own words are in the log."""


async def keep(name: str, run: Callable[[], Awaitable[bool]]) -> None:
    """Run a server again and again; DaemonError if it does not live.

    `run` is one life of it, and tells whether that was ended on purpose.
    """
    short_lives = 0
    while short_lives < SHORT_LIVES:
        started = time.monotonic()
        lived = await run()
        short_lives = 0 if lived or time.monotonic() - started >= SHORT_LIFE_S else short_lives + 1
    raise DaemonError(f"{name} does not live: its own words are above")


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask a server to end, and kill it only if it does not: then its clients learn nothing.

    It has ended also if whoever waits for that is cancelled, as at the end of this process.
    """
    ending = asyncio.ensure_future(_end(process))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
