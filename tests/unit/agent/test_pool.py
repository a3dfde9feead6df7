from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.agent.errors import PoolFullError, UnavailableError
from gateway.agent.pool import FIRST_NUMBER, MAX_DEVICES, Network, Pool, addresses

SMALL = (ip_network("10.77.0.0/29"), ip_network("fd77::/64"))


def test_a_devices_addresses_have_the_same_place_in_every_network() -> None:
    pool = Pool(SMALL)
    assert addresses(SMALL, pool.choose()) == ("10.77.0.2/32", "fd77::2/128")


@given(number=st.integers(FIRST_NUMBER, MAX_DEVICES + 1))
def test_addresses_are_written_as_everywhere(number: int) -> None:
    networks = (ip_network("10.80.0.0/15"), ip_network("fd77:0:0:1::/64"))
    assert addresses(networks, number) == (f"{networks[0][number]}/32", f"{networks[1][number]}/128")


@pytest.mark.parametrize(
    ("networks", "capacity"),
    [
        (["10.0.0.0/30"], 1),
        (["10.0.0.0/29"], 5),
        (["10.0.0.0/24"], 253),
        (["fd77::/126"], 2),
        (["10.0.0.0/24", "fd77::/126"], 2),
        (["10.0.0.0/8", "fd77::/64"], MAX_DEVICES),
    ],
)
def test_capacity(networks: list[str], capacity: int) -> None:
    assert Pool([ip_network(network) for network in networks]).capacity == capacity


def test_networks_that_became_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="room for 5 devices, but a stored device has the address number 9"):
        Pool(SMALL, taken=[9])


@given(st.integers(0, 300), st.sets(st.integers(2, 6)))
def test_it_goes_on_where_it_was(newest: int, taken: set[int]) -> None:
    """Whatever is stored, also by an agent with larger networks: the choice is free and a host."""
    pool = Pool(SMALL, taken, newest)
    if len(taken) == 5:
        with pytest.raises(PoolFullError):
            pool.choose()
    else:
        assert FIRST_NUMBER <= pool.choose() <= pool.last
        assert pool.choose() not in taken


class Ring(RuleBasedStateMachine):
    """Against a model that knows only who holds what and when each number was last given out."""

    def __init__(self) -> None:
        super().__init__()
        self.networks: tuple[Network, ...] = SMALL
        self.pool = Pool(self.networks)
        self.held: set[int] = set()
        self.ever: set[int] = set()

    @precondition(lambda self: len(self.held) < self.pool.capacity)
    @rule()
    def take(self) -> None:
        number = self.pool.choose()
        assert number not in self.held
        fresh = set(range(FIRST_NUMBER, self.pool.last + 1)) - self.ever
        assert number in fresh or not fresh, "a used number came back while there were unused ones"
        self.pool.hold(number)
        self.held.add(number)
        self.ever.add(number)

    @precondition(lambda self: len(self.held) == self.pool.capacity)
    @rule()
    def take_from_the_full_pool(self) -> None:
        with pytest.raises(PoolFullError):
            self.pool.choose()

    @rule(number=st.integers(FIRST_NUMBER, 6))
    def give_back(self, number: int) -> None:
        self.pool.release([number])
        self.held.discard(number)
        if len(self.held) + len(self.pool.resting) == self.pool.capacity:
            with pytest.raises(UnavailableError):
                self.pool.choose()
        else:
            assert self.pool.choose() != number, "it rests"
        self.pool.free([number])

    @rule()
    def restart(self) -> None:
        self.pool = Pool(self.networks, self.held, self.pool.newest)

    @invariant()
    def agrees(self) -> None:
        assert self.pool.taken == self.held


TestRing = Ring.TestCase
