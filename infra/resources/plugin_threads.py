"""As many operations at a time as the engine starts: gateways that are waited for do not wait for one another.

Pulumi's Python host of dynamic providers has four threads for the resources of a whole stack. Four gateways that do not
come up would keep them all, each until its deadline.
"""

import sys

THREADS = 1000
"""More than anybody's `--parallel`. A thread is made when there is work for it."""


def widen() -> None:
    """Let the pool that runs the caller grow; nothing where no pool does."""
    frame = sys._getframe()
    while frame.f_back:
        frame = frame.f_back
        if frame.f_code.co_name == "_worker" and (pool := frame.f_locals.get("executor_reference", lambda: None)()):
            pool._max_workers = THREADS
