"""Threads for what the program's hooks ask of others.

`asyncio.to_thread` would take those that Pulumi makes for registrations: four times as many as it does things at once.
In a stack of many gateways all of them are taken, each by a registration that waits for its hook, and so for ever.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
_THREADS = ThreadPoolExecutor(32, "hook")  # the most that an engine does at once on eight cores


async def in_thread(call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """What the call returns, without the event loop waiting for it."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, partial(call, *args, **kwargs))
