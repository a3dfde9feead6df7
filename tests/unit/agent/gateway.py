"""What one agent has, on a real store and a data plane that can be made to fail; its two clocks stand still."""

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from gateway.agent.devices import Devices
from gateway.agent.pool import Network
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.stores.sqlite import SqliteStore
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, FakeDataPlane

NETWORKS: tuple[Network, ...] = (ip_network("10.77.0.0/29"), ip_network("fd77::/64"))
NOW = 1_800_000_000


@dataclass
class Gateway:
    """An agent, and how to start the next on the same volume. OpenVPN is always there."""

    path: Path
    networks: tuple[Network, ...] = NETWORKS
    plane: FakeDataPlane = field(default_factory=FakeDataPlane)
    make_store: Callable[[Path], SqliteStore] = SqliteStore
    disk_full: bool = False
    now: float = NOW
    uptime: float = 100.0
    """What the monotonic clock says."""

    def __post_init__(self) -> None:
        self.start()

    def start(self, *, renumber: bool = False) -> None:
        self.store = self.make_store(self.path)
        self.fill_the_disk(full=self.disk_full)
        self.peers = Peers(self.plane, self.networks, SERVER_KEY, clock=lambda: self.now)
        try:
            self.devices = Devices(
                self.store,
                Dispatch({"wireguard": self.peers, "openvpn": FakeAccess()}),
                self.networks,
                SERVER_KEY,
                renumber=renumber,
                clock=lambda: self.now,
                monotonic=lambda: self.uptime,
            )
        except ValueError:
            self.store.close()
            raise

    def crash(self) -> None:
        """The agent is gone; the interface and the volume are not."""
        self.store.close()
        self.start()

    async def reconcile(self) -> None:
        """One look of the loop that keeps the interface; it finds none while that is away."""
        if not self.plane.away:
            await self.peers.reconcile(await self.plane.show(), self.devices)

    def wait(self, seconds: float) -> None:
        """Time passes, and both clocks tell it."""
        self.now += seconds
        self.uptime += seconds

    def fill_the_disk(self, *, full: bool = True) -> None:
        """Every write fails, as SQLite says it, until there is room again; a restart makes none."""
        self.disk_full = full
        self.store._db.execute(f"PRAGMA query_only = {int(full)}")
