"""Devices that come in by WireGuard: the interface's peers, and the interface that they come in by."""

from collections.abc import Callable, Sequence

from gateway.agent.devices import Devices
from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.firewall import Firewall
from gateway.agent.protocol import Traffic
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.protocols.wireguard.tunnel import Tunnel
from gateway.agent.protocols.wireguard.wg import WireGuard
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device


class WireGuardAccess:
    """Lets devices in by WireGuard, and tells who is there."""

    part = "interface"

    def __init__(self, settings: Callable[[], AgentSettings], identity: WireGuardIdentity, firewall: Firewall) -> None:
        now = settings()
        wireguard = WireGuard(now.interface)
        self._peers = Peers(wireguard, now.client_networks)
        self._tunnel = Tunnel(settings, identity, wireguard, self._peers, firewall)

    async def let_in(self, device: Device) -> None:
        """Make a device a peer; CommandError when the interface is not there."""
        await self._peers.let_in(device)

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """Remove peers, and with them their sessions; CommandError when the interface is not there."""
        await self._peers.shut_out(devices)

    def reconsider(self, devices: Sequence[Device]) -> None:
        """Look soon whether these are in or out as the store now has it."""
        self._peers.reconsider(devices)

    async def keep(self, devices: Devices) -> None:
        """Keep the interface as it should be, and its peers in line with the store, until cancelled."""
        await self._tunnel.keep(devices)

    async def problems(self) -> list[str]:
        """What keeps the tunnel from working, one sentence each; empty if it works."""
        return await self._tunnel.problems()

    def heard_within(self, seconds: int) -> int:
        """How many peers had their last handshake no longer ago, as of the last look."""
        return self._peers.heard_within(seconds)

    def traffic(self) -> Traffic | None:
        """Bytes to and from peers, without WireGuard's own; None while there is no interface."""
        return self._tunnel.traffic()
