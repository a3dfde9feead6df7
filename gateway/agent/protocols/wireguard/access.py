"""Devices that come in by WireGuard: the interface's peers, and the interface that they come in by."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from gateway.agent.command import CommandError
from gateway.agent.devices import Devices
from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.firewall import Firewall
from gateway.agent.protocol import AwayError, Traffic
from gateway.agent.protocols.wireguard import rotation_paths
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.protocols.wireguard.rotation import Rotation
from gateway.agent.protocols.wireguard.tunnel import Tunnel
from gateway.agent.protocols.wireguard.wg import WireGuard
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device
from gateway.agent.tasks import run_until_first_ends


class WireGuardAccess:
    """Lets devices in by WireGuard, and tells who is there."""

    part = "interface"

    def __init__(self, settings: Callable[[], AgentSettings], identity: WireGuardIdentity, firewall: Firewall) -> None:
        now = settings()
        wireguard = WireGuard(identity.interface)
        self._peers = Peers(wireguard, now.client_networks, identity.public_key)
        self._tunnel = Tunnel(settings, identity, wireguard, self._peers, firewall)
        self._rotation = Rotation(settings, (identity, now.previous), wireguard, firewall) if now.previous else None

    async def let_in(self, device: Device) -> None:
        """Make a device a peer; CommandError when the interface is not there."""
        if self._rotation:
            await self._rotation.let_in(device)
        await self._peers.let_in(device)

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """Remove peers, and with them their sessions; CommandError while one of the interfaces still may have them."""
        trouble: CommandError | None = None
        for shut_out in (self._peers.shut_out, *(one.shut_out for one in self._rotations)):
            try:
                with suppress(AwayError):  # then nobody is in by that interface
                    await shut_out(devices)
            except CommandError as error:
                trouble = error
        if trouble:
            raise trouble

    def reconsider(self, devices: Sequence[Device]) -> None:
        """Look soon whether these are in or out as the store now has it."""
        self._peers.reconsider(devices)
        for rotation in self._rotations:
            rotation.reconsider(devices)

    async def keep(self, devices: Devices) -> None:
        """Keep the interface as it should be, and its peers in line with the store, until cancelled."""
        if self._rotation is None:
            # What may be left of a rotation leads to an interface that is gone.
            with suppress(CommandError):
                await rotation_paths.remove()
            await self._tunnel.keep(devices)
        else:
            await self._rotation.prepare(devices)
            both = {"present key": self._tunnel.keep(devices), "previous key": self._rotation.keep(devices)}
            await run_until_first_ends(both)

    async def problems(self) -> list[str]:
        """What keeps the tunnel from working, one sentence each; empty if it works."""
        of_previous = [sentence for one in self._rotations for sentence in await one.problems()]
        return [*await self._tunnel.problems(), *of_previous]

    def heard_within(self, seconds: int) -> int:
        """How many peers had their last handshake no longer ago, as of the last look."""
        both = self._rotation if self._rotation and not self._rotation.is_over else None
        return (both or self._peers).heard_within(seconds)

    def traffic(self) -> Traffic | None:
        """Bytes to and from peers, without WireGuard's own; None while there is no interface."""
        passed = [self._tunnel.traffic(), *(one.traffic() for one in self._rotations)]
        there = [one for one in passed if one]
        return Traffic(sum(one.received for one in there), sum(one.sent for one in there)) if there else None

    @property
    def _rotations(self) -> tuple[Rotation, ...]:
        return (self._rotation,) if self._rotation else ()
