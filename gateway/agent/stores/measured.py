"""Writes to a store, measured: each is timed, failures are counted, and whether the last one failed is remembered."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Protocol

from gateway.agent import measures
from gateway.agent.store import TakenError


class Measured(Protocol):
    """What has writes that are measured."""

    trouble: str | None
    """Why the last one failed; None if it did not."""


Write = Callable[..., AbstractContextManager[None]]


def measured(write: Write) -> Write:
    """A method that is a write, for as long as its block lasts."""

    @wraps(write)
    @contextmanager
    def timed(owner: Measured, *arguments: object) -> Iterator[None]:
        try:
            with measures.STORE_WRITE_SECONDS.time(), write(owner, *arguments):
                yield
        except TakenError:  # the store is well
            owner.trouble = None
            raise
        except Exception as error:
            measures.STORE_ERRORS.inc()
            owner.trouble = str(error)
            raise
        owner.trouble = None

    return timed
