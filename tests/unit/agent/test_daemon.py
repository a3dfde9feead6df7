"""The end of a protocol's own server."""

import asyncio
from contextlib import suppress

from gateway.agent.protocols import daemon

TAKES_A_WHILE = "trap 'sleep 0.3; exit 0' TERM; echo ready; while :; do sleep 0.05; done"


async def test_it_has_ended_also_if_who_waits_for_that_is_cancelled() -> None:
    """Else its interface would be taken away below it: OpenVPN then never ends, and says so without a pause."""
    process = await asyncio.create_subprocess_exec("sh", "-c", TAKES_A_WHILE, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    ending = asyncio.create_task(daemon.end(process))
    await asyncio.sleep(0.1)
    ending.cancel()
    with suppress(asyncio.CancelledError):
        await ending
    assert ending.cancelled()
    assert process.returncode == 0
