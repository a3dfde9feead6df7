"""Who may connect: a bound on all connections, and one on those of each address.

An address is an IPv4 address or an IPv6 /64, which a single host may have to itself. Where there is no room, the
oldest connection without a request goes. So silent connections, however many, never keep anybody out.
"""

import resource
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Protocol, Self

from gateway.agent import measures
from gateway.agent.throttling import MAX_ADDRESSES


@dataclass(frozen=True)
class Bounds:
    """Connections of a listener at a time: all together, and those of one address."""

    total: int
    each: int
    listener: str = "api"
    """Its name in the metrics (measures.LISTENERS)."""

    def within_descriptors(self) -> Self:
        """No more than half of what the process may open: the store and the tools need some of the rest."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        total = self.total if limit == resource.RLIM_INFINITY else min(self.total, limit // 2)
        return replace(self, total=total, each=min(self.each, total))


@lru_cache(MAX_ADDRESSES)
def subject(host: str) -> str:
    """Whom a peer's address stands for: itself, or its IPv6 /64."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)


class Guest(Protocol):
    """A connection, from the moment it is accepted."""

    address: str
    """As `subject` has it."""
    trusted: bool
    """Whether a good token came by it."""

    @property
    def busy(self) -> bool:
        """Whether a request of it is being served."""

    def cut(self) -> None:
        """End it at once."""


class Admission:
    """The connections that there are."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._all: dict[Guest, None] = {}
        """In the order of their coming, as those of each address are."""
        self._of: dict[str, dict[Guest, None]] = {}
        measures.CONNECTIONS.labels(bounds.listener).set_function(lambda: len(self))

    def __len__(self) -> int:
        return len(self._all)

    def admit(self, guest: Guest) -> bool:
        """Take one in, in place of an idle one if there is no room; False if all are busy."""
        neighbours = self._of.get(guest.address, {})
        if len(neighbours) >= self._bounds.each and not self._cut_oldest(neighbours, "address"):
            return False
        if len(self._all) >= self._bounds.total and not self.make_room():
            return False
        self._all[guest] = None
        self._of.setdefault(guest.address, {})[guest] = None
        return True

    def leave(self, guest: Guest) -> None:
        """Forget one that has ended."""
        self._all.pop(guest, None)
        neighbours = self._of.get(guest.address, {})
        neighbours.pop(guest, None)
        if not neighbours:
            self._of.pop(guest.address, None)

    def make_room(self) -> bool:
        """End the oldest idle connection; False if there is none."""
        return self._cut_oldest(self._all, "room")

    def count(self, limit: str) -> None:
        """A limit (measures.LIMITS) ended a connection, or kept it out."""
        measures.CONNECTIONS_CLOSED.labels(self._bounds.listener, limit).inc()

    def strangers(self, address: str) -> int:
        """How many connections an address has by which no good token came."""
        return sum(not guest.trusted for guest in self._of.get(address, ()))

    def cut_all(self) -> None:
        """End everything."""
        for guest in list(self._all):
            self.leave(guest)
            guest.cut()

    def _cut_oldest(self, guests: Iterable[Guest], limit: str) -> bool:
        """End an idle one for the sake of a new one; if there is none, the new one is kept out. One goes either way."""
        self.count(limit)
        strangers = (guest for guest in guests if not (guest.busy or guest.trusted))
        friends = (guest for guest in guests if not guest.busy)
        victim = next(strangers, None) or next(friends, None)
        if victim is None:
            return False
        self.leave(victim)
        victim.cut()
        return True
