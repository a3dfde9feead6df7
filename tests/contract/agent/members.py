"""Members of one gateway: real devices on a real etcd, and a data plane each that can be made to fail."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.pool import Network
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.registration import Admission, Registration
from gateway.agent.store import StoreError
from gateway.agent.stores.etcd.client import Etcd
from gateway.agent.stores.etcd.copy import MemberCopy
from gateway.agent.stores.etcd.store import EtcdStore
from tests.deadlines import PATIENCE
from tests.unit.agent.fakes import SERVER_KEY, FakeDataPlane

NETWORKS: tuple[Network, ...] = (ip_network("10.77.0.0/24"), ip_network("fd77::/64"))
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(2, 202)]


@dataclass
class Member:
    """An agent on a volume of its own. `run` is its life."""

    urls: Sequence[str]
    volume: Path
    prefix: str = "members"
    networks: tuple[Network, ...] = NETWORKS
    plane: FakeDataPlane = field(default_factory=FakeDataPlane)

    @property
    def copy(self) -> Path:
        return self.volume / "copy.sqlite"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Member"]:
        """The agent lives during the block; then it is killed. The interface stays."""
        self.volume.mkdir(exist_ok=True)
        self.store = EtcdStore(Etcd(self.urls), self.prefix, MemberCopy(self.copy))
        self.peers = Peers(self.plane, self.networks, SERVER_KEY)
        self.devices = Devices(self.store, Dispatch({"wireguard": self.peers}), self.networks, SERVER_KEY)
        tasks = [asyncio.create_task(step) for step in (self.devices.follow(), self._expire(), self._reconcile())]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            self.devices._store_thread.shutdown()
            self.store.close()

    async def register(self, key: str, name: str | None = None) -> Admission:
        return await self.devices.register(Registration(public_key=key, name=name))

    async def knows(self, key: str) -> bool:
        return key in {device.public_key for device in await self.devices.page(0, 1000)}

    def has_in(self, key: str) -> bool:
        return key in self.plane.peers

    async def _expire(self) -> None:
        while True:
            with suppress(CommandError, StoreError):
                await self.devices.expire()
            await asyncio.sleep(0.2)

    async def _reconcile(self) -> None:
        while True:
            with suppress(CommandError, StoreError):
                await self.peers.reconcile(await self.plane.show(), self.devices)
            await asyncio.sleep(0.2)


async def eventually(condition: Callable[[], bool], within: float) -> None:
    until = time.monotonic() + within * PATIENCE
    while not condition():
        assert time.monotonic() < until, f"not within {within} s"
        await asyncio.sleep(0.01)
