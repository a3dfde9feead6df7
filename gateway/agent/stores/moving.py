"""How all devices move from one store into another, so that none is lost and none is in both.

While they move nobody can change them: who had them already is in, nobody is registered. A move that is killed goes on
when it is made again, whatever it had done.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.agent.store import Device, StoreError


class Phase(Enum):
    """What a store is to a move."""

    EMPTY = "empty"
    IN_USE = "in use"
    FILLING = "filling"
    LEAVING = "leaving"
    LEFT = "left"


@dataclass(frozen=True)
class Everything:
    """All that a store keeps."""

    devices: tuple[Device, ...]
    newest_number: int
    client_networks: frozenset[str]


class Home(Protocol):
    """A store as a move sees it. Each call may be repeated."""

    def phase(self) -> Phase:
        """How far a move has come."""

    def leave(self) -> Everything:
        """What is kept; from now on nobody changes it."""

    def left(self) -> None:
        """Nobody uses what is kept any more."""

    def fill(self, everything: Everything) -> None:
        """Keep this in the place of all that was there, and read it again; nobody uses it yet."""

    def open(self) -> None:
        """Let what was filled in be used."""


def move(source: Home, target: Home) -> int | None:
    """Move all devices; how many, or None if they had moved already. StoreError if that cannot be."""
    before, after = source.phase(), target.phase()
    if before is Phase.LEFT and after in {Phase.FILLING, Phase.IN_USE}:
        source.left()
        target.open()
        return None
    if before not in {Phase.IN_USE, Phase.LEAVING}:
        raise StoreError(f"there are no devices to move: the store that they are to come from is {before.value}")
    if after is Phase.IN_USE:
        raise StoreError(
            "the store that they are to move into is in use: it must be empty, and no agent may have been started with "
            "it"
        )
    everything = source.leave()
    target.fill(everything)
    source.left()
    target.open()
    return len(everything.devices)
