"""Many things, some at a time."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def pieces(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """The items in their order, so many at a time."""
    rest = iter(items)
    while piece := list(islice(rest, size)):
        yield piece
