"""Addresses of devices: each device has a number, which is its place in every client network.

Number 5 of 10.77.0.0/24 and fd77::/64 is 10.77.0.5 with fd77::5. Number 1 is the gateway itself. Numbers are given out
around a ring: a freed number comes back as late as the networks' size allows, and never before its connections have
ended (`flows`). So packets that are still on their way to a device that is gone meet nobody else.
"""

import socket
import time
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network

from gateway.agent.errors import PoolFullError, UnavailableError

GATEWAY_NUMBER = 1
FIRST_NUMBER = 2
MAX_DEVICES = 65_536
"""wireguard-go holds no more peers than this (its device/constants.go)."""

TO_RENUMBER = (
    "set MESHGATE_RENUMBER=true (the stack's `renumber: true`): devices then get other addresses, and must register "
    "again to learn them"
)

Network = IPv4Network | IPv6Network


def addresses(networks: tuple[Network, ...], number: int) -> tuple[str, ...]:
    """Host addresses of a number, one per network, as WireGuard writes them: 10.77.0.5/32, fd77::5/128."""
    return tuple(f"{_address(network, number)}/{network.max_prefixlen}" for network in networks)


def _address(network: Network, number: int) -> str:
    """As str(network[number]), in a sixth of the time: all are compared when the interface is new."""
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    return socket.inet_ntop(family, (int(network.network_address) + number).to_bytes(network.max_prefixlen // 8, "big"))


def last_number(networks: Sequence[Network]) -> int:
    """The highest number that is a host in every one of the networks (an IPv4 broadcast address is none)."""
    hosts = min(network.num_addresses - (2 if network.version == 4 else 1) for network in networks)
    return min(hosts, FIRST_NUMBER + MAX_DEVICES - 1)


class Pool:
    """Which numbers are taken, and which is the next to give out.

    `newest` is the number that was given out last, so that the ring goes on where it was after a restart.
    """

    def __init__(self, networks: Sequence[Network], taken: Iterable[int] = (), newest: int = 0) -> None:
        self.last = last_number(networks)
        self.capacity = self.last - FIRST_NUMBER + 1
        self.taken = set(taken)
        self.resting: dict[int, float] = {}
        """Numbers that are given back and not free yet, and since when by the monotonic clock."""
        self.newest = newest
        if (highest := max(self.taken, default=0)) > self.last:
            raise ValueError(
                f"the client networks have room for {self.capacity} devices, but a stored device has the "
                f"address number {highest}: use networks at least as large as before, or remove that device first, "
                f"or {TO_RENUMBER}"
            )

    def choose(self) -> int:
        """The next free number; it is taken only by `hold`.

        PoolFullError when there is none, UnavailableError when there will be one in a moment.
        """
        if len(self.taken) >= self.capacity:
            raise PoolFullError(
                f"all {self.capacity} addresses of the client networks are taken: remove peers, "
                "give them a ttl_seconds, or declare larger client networks"
            )
        if len(self.taken) + len(self.resting) >= self.capacity:
            raise UnavailableError("the only addresses that are left were another device's a moment ago; try again")
        number = self.newest
        while True:
            number = number + 1 if FIRST_NUMBER <= number < self.last else FIRST_NUMBER
            if number not in self.taken and number not in self.resting:
                return number

    def hold(self, number: int) -> None:
        """Take a number that `choose` gave, or another member has given out."""
        self.taken.add(number)
        self.resting.pop(number, None)
        self.newest = number

    def release(self, numbers: Iterable[int]) -> None:
        """Give numbers back; they rest until `free`."""
        for number in numbers:
            self.taken.discard(number)
            self.resting[number] = time.monotonic()

    def free(self, numbers: Iterable[int]) -> None:
        """Let numbers that rest be chosen again."""
        for number in numbers:
            self.resting.pop(number, None)
