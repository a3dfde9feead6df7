"""Which handshake of each session was answered last: in a file that outlives the agent, beside OpenVPN's socket.

A renewal of keys that OpenVPN asks about while no agent is there is not asked about again, and the client would be
logged out a minute later. So the next agent answers what it has not heard: the handshakes after the last one.
"""

import logging
from collections.abc import Collection
from pathlib import Path

from gateway.agent import whole_file

log = logging.getLogger(__name__)

AHEAD = 8
"""More can hardly have begun meanwhile: a client whose renewal goes unanswered for a minute is out."""
OLD_LINES = 100
"""So many may stand in the file besides."""


class Handshakes:
    """Numbers of sessions and of their handshakes, as one OpenVPN process counts them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: dict[int, int] = {}
        self._lines = 0
        if path.exists():
            numbers = [line.split() for line in path.read_text().splitlines()]
            self._lines = len(numbers)
            self._last = {int(one[0]): int(one[1]) for one in numbers if len(one) == 2}  # a killed agent's may be cut

    def answered(self, client: int, handshake: int) -> None:
        """This one was answered."""
        self._last[client] = handshake
        self._lines += 1
        try:
            with self._path.open("a") as file:
                file.write(f"{client} {handshake}\n")
        except OSError as error:
            log.warning("the handshakes of OpenVPN cannot be kept in %s: %s", self._path, error.strerror)

    def unheard(self, client: int) -> range:
        """The numbers of those that may wait for an answer."""
        first = self._last.get(client, -1) + 1
        return range(first, first + AHEAD)

    def keep(self, clients: Collection[int]) -> None:
        """Forget all other sessions. The file is written anew once most of it is old."""
        self._last = {client: self._last[client] for client in clients if client in self._last}
        if self._lines <= 2 * len(self._last) + OLD_LINES:
            return
        self._lines = len(self._last)
        lines = "".join(f"{client} {handshake}\n" for client, handshake in self._last.items())
        try:
            whole_file.write(self._path, lines)
        except OSError as error:
            log.warning("the handshakes of OpenVPN cannot be kept in %s: %s", self._path, error.strerror)
