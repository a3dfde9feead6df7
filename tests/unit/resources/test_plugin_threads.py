from concurrent.futures import ThreadPoolExecutor
from threading import Event

from infra.resources import plugin_threads


def test_an_operation_does_not_wait_for_those_that_wait() -> None:
    """As in Pulumi's host, whose pool is full after four of them."""
    done = Event()

    def waits() -> bool:
        plugin_threads.widen()
        return done.wait(30)

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(waits) for _ in range(4)]
        pool.submit(done.set)
        assert all(one.result() for one in waiting)
