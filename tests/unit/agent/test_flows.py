"""Connections of devices that are gone: which they are, and what happens where they do not end."""

import asyncio
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.agent import flows
from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.flows import Flows, sources
from gateway.agent.registration import Registration
from gateway.agent.stores.sqlite import SqliteStore
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, key_pair

NETWORKS = (ip_network("10.77.0.0/29"), ip_network("fd77::/64"))
LINE = "udp      17 29 src={} dst=198.51.100.2 sport=5 dport=7 src=198.51.100.2 dst=198.51.100.1 sport=7 dport=5 use=1"


class Kernel:
    """Its connections, and a `conntrack` that can be made to fail."""

    def __init__(self) -> None:
        self.sources: set[str] = set()
        self.broken = False

    async def run(self, *arguments: str) -> str:
        if self.broken:
            raise CommandError("conntrack cannot be run: No such file or directory")
        if "-D" in arguments:
            self.sources.remove(arguments[-1])
            return ""
        version = int(arguments[arguments.index("-f") + 1].removeprefix("ipv"))
        return "\n".join(LINE.format(one) for one in self.sources if (":" in one) == (version == 6))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(flows, "run", kernel.run)
    monkeypatch.setattr(flows, "LOOK_EVERY_S", 0)
    monkeypatch.setattr(flows, "FAILED_PAUSE_S", 0)
    return kernel


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[Devices]:
    store = SqliteStore(tmp_path / "peers.sqlite")
    yield Devices(store, FakeAccess(), NETWORKS, SERVER_KEY)
    store.close()


async def settle(devices: Devices, seconds: float = 0.2) -> None:
    """Let the loop do what is to be done."""
    task = asyncio.create_task(Flows(devices, NETWORKS).keep())
    await asyncio.wait([task], timeout=seconds)
    assert not task.done()
    task.cancel()


async def test_those_of_devices_go_on_and_others_end(kernel: Kernel, devices: Devices) -> None:
    await devices.register(Registration(public_key=key_pair().public))
    kernel.sources = {"10.77.0.2", "10.77.0.3", "10.77.0.1", "fd77::2", "fd77::5"}
    await settle(devices)
    assert kernel.sources == {"10.77.0.2", "fd77::2"}


async def test_a_revoked_devices_connections_end_and_its_number_is_free(kernel: Kernel, devices: Devices) -> None:
    key = key_pair().public
    await devices.register(Registration(public_key=key))
    kernel.sources = {"10.77.0.2"}
    await devices.revoke(key)
    assert devices.pool.resting.keys() == {2}
    await settle(devices)
    assert (kernel.sources, devices.pool.resting) == (set(), {})


async def test_where_they_cannot_be_ended_numbers_rest_and_it_is_said_once(
    kernel: Kernel, devices: Devices, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.broken = True
    key = key_pair().public
    await devices.register(Registration(public_key=key))
    await devices.revoke(key)
    await settle(devices)
    assert devices.pool.resting.keys() == {2}
    assert caplog.text.count("cannot be ended") == 1
    monkeypatch.setattr(flows, "REST_S", 0)
    await settle(devices)
    assert devices.pool.resting == {}


def test_who_began_a_connection_stands_first() -> None:
    assert sources(f"{LINE.format('10.77.0.2')}\n\n{LINE.format('fd77::2')}") == {"10.77.0.2", "fd77::2"}
