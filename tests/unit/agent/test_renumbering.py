"""Client networks that become others, with devices in the store."""

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.agent.pool import Network
from gateway.agent.registration import Registration
from tests.unit.agent.gateway import Gateway


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """Three devices, with the numbers 2, 3 and 9."""
    gateway = Gateway(tmp_path / "peers.sqlite", networks("10.77.0.0/24,fd77::/64"))
    for number in range(2, 10):
        await gateway.devices.register(Registration(public_key=str(number)))
    for number in range(4, 9):
        await gateway.devices.revoke(str(number))
    yield gateway
    gateway.store.close()


def networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(part) for part in text.split(","))


async def start(gateway: Gateway, text: str, *, renumber: bool = False) -> dict[str, tuple[str, ...]]:
    """The devices' addresses after a start with other networks."""
    gateway.store.close()
    gateway.networks = networks(text)
    gateway.start(renumber=renumber)
    known = gateway.devices.among(gateway.devices.keys("wireguard"))
    return {key: gateway.devices.addresses(device) for key, device in known.items()}


@pytest.mark.parametrize(
    "wanted",
    ["10.77.0.0/24,fd77::/64", "fd77::/64,10.77.0.0/24", "10.77.0.0/16,fd77::/56", "10.77.0.0/28,fd77::/120"],
)
async def test_networks_that_begin_alike_keep_addresses(gateway: Gateway, wanted: str) -> None:
    for text in (wanted, "10.77.0.0/24,fd77::/64"):
        assert set((await start(gateway, text))["9"]) == {"10.77.0.9/32", "fd77::9/128"}


@pytest.mark.parametrize(
    ("wanted", "lost"),
    [
        ("10.78.0.0/24,fd77::/64", "10.77.0.0/24"),
        ("10.77.0.0/24", "fd77::/64"),
        ("10.78.0.0/24,fd78::/64", "10.77.0.0/24, fd77::/64"),
        ("10.0.0.0/8,fd77::/64", "10.77.0.0/24"),
    ],
)
async def test_others_are_refused(gateway: Gateway, wanted: str, lost: str) -> None:
    for _ in range(2):  # a refusal changes nothing
        with pytest.raises(ValueError, match=f"have addresses in {lost} and would lose them: .*MESHGATE_RENUMBER=true"):
            await start(gateway, wanted)
    assert (await start(gateway, "10.77.0.0/24,fd77::/64"))["9"] == ("10.77.0.9/32", "fd77::9/128")


async def test_too_small_ones_are_refused(gateway: Gateway) -> None:
    with pytest.raises(ValueError, match="room for 5 devices, but a stored device has the address number 9"):
        await start(gateway, "10.77.0.0/29,fd77::/64")
    with pytest.raises(ValueError, match="room for 1 devices, but a stored device"):
        await start(gateway, "10.78.0.0/30", renumber=True)
    assert (await start(gateway, "10.77.0.0/24,fd77::/64"))["9"] == ("10.77.0.9/32", "fd77::9/128")


async def test_the_word_gives_other_addresses_for_good(gateway: Gateway) -> None:
    expected = {"2": ("10.78.0.2/32",), "3": ("10.78.0.3/32",), "9": ("10.78.0.4/32",)}
    assert await start(gateway, "10.78.0.0/29", renumber=True) == expected
    assert await start(gateway, "10.78.0.0/29") == expected
    await gateway.reconcile()
    assert gateway.plane.peers["9"].allowed_ips == {"10.78.0.4/32"}


async def test_another_network_is_added(gateway: Gateway) -> None:
    await start(gateway, "10.77.0.0/24", renumber=True)
    assert (await start(gateway, "10.77.0.0/24,fd78::/64"))["9"] == ("10.77.0.9/32", "fd78::9/128")


async def test_without_devices_anything_goes(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "peers.sqlite")
    assert await start(gateway, "10.78.0.0/24") == {}
    gateway.store.close()
