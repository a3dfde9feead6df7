"""All protocols of a gateway as one: each device is let in and shut out by its own."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from gateway.agent.command import CommandError
from gateway.agent.protocol import AccessControl, AwayError
from gateway.agent.store import Device


class Dispatch:
    """An AccessControl made of several, by the protocols' names."""

    def __init__(self, protocols: Mapping[str, AccessControl]) -> None:
        self._protocols = protocols

    async def let_in(self, device: Device) -> None:
        """Let a device in by its protocol; AwayError if the gateway has given that one up."""
        await self._of(device).let_in(device)

    async def shut_out(self, devices: Sequence[Device]) -> None:
        """Shut devices out. A protocol that fails holds up no other; its error is raised at the end."""
        trouble: CommandError | None = None
        for name, protocol in self._protocols.items():
            if own := [device for device in devices if device.protocol == name]:
                try:
                    with suppress(AwayError):  # then none of its devices is in
                        await protocol.shut_out(own)
                except CommandError as error:
                    trouble = error
        if trouble:
            raise trouble

    def reconsider(self, devices: Sequence[Device]) -> None:
        """Bring devices in line within a second."""
        for name, protocol in self._protocols.items():
            if own := [device for device in devices if device.protocol == name]:
                protocol.reconsider(own)

    def _of(self, device: Device) -> AccessControl:
        if device.protocol not in self._protocols:
            raise AwayError(f"this gateway does not offer {device.protocol} any more")
        return self._protocols[device.protocol]
