"""Writes to the store, watched: each is timed, failures are counted, and whether the last one failed is remembered."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import wraps
from typing import Protocol

from gateway.agent import measures


class Watched(Protocol):
    """What has transactions that are watched."""

    trouble: str | None
    """Why the last one failed; None if it did not."""


Transaction = Callable[..., AbstractContextManager[None]]


def watched(transaction: Transaction) -> Transaction:
    """A method that is a transaction."""

    @wraps(transaction)
    @contextmanager
    def observed(owner: Watched, *arguments: object) -> Iterator[None]:
        try:
            with measures.STORE_WRITE_SECONDS.time(), transaction(owner, *arguments):
                yield
        except Exception as error:
            measures.STORE_ERRORS.inc()
            owner.trouble = str(error)
            raise
        owner.trouble = None

    return observed
