import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from infra.hook_threads import in_thread


async def test_a_hook_goes_on_while_registrations_take_all_of_pulumis_threads() -> None:
    ended = Event()
    with ThreadPoolExecutor(1) as pulumis:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(pulumis)
        registration = loop.run_in_executor(None, ended.wait)
        try:
            assert await asyncio.wait_for(in_thread(int, "7"), timeout=10) == 7
        finally:
            ended.set()
            await registration
