"""Connections of devices that are gone, which the kernel would go on translating, end within a second.

The danger is the next device at an address: answers to the connections of the one before would reach it. So a freed
number rests until its connections have ended. The kernel's table is read only after somebody was shut out.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from ipaddress import ip_address

from gateway.agent.command import CommandError, run
from gateway.agent.devices import Devices
from gateway.agent.pool import Network

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
FAILED_PAUSE_S = 5.0
REST_S = 300.0
"""Where connections cannot be ended, a number rests for this time, which outlives most of them."""

_SOURCE = re.compile(r"\bsrc=(\S+)")
_FAMILIES = {4: "ipv4", 6: "ipv6"}


class Flows:
    """Ends what devices have left behind, also before the agent's start."""

    def __init__(self, devices: Devices, networks: Sequence[Network]) -> None:
        self._devices = devices
        self._networks = networks
        self._trouble: str | None = None

    async def keep(self) -> None:
        """End connections whenever a device was shut out, until cancelled."""
        devices = self._devices
        devices.left_behind.set()  # by an agent that was killed
        while True:
            await devices.left_behind.wait()
            devices.left_behind.clear()
            resting = dict(devices.pool.resting)
            try:
                await self.end_strays()
                self._trouble = None
            except CommandError as error:
                self._say(str(error))
                devices.left_behind.set()
                long_ago = time.monotonic() - REST_S
                resting = {number: since for number, since in resting.items() if since < long_ago}
            devices.pool.free(resting)
            await asyncio.sleep(LOOK_EVERY_S if self._trouble is None else FAILED_PAUSE_S)

    async def end_strays(self) -> None:
        """End each connection from a client's address whose device may not be in; CommandError if one is left."""
        for network in self._networks:
            for address in await self._strays(network):
                with suppress(CommandError):  # it may have ended by itself
                    await run("conntrack", "-D", "-f", _FAMILIES[network.version], "-s", address)
            if left := await self._strays(network):
                raise CommandError(f"conntrack does not end connections of {len(left)} devices")

    async def _strays(self, network: Network) -> list[str]:
        listed = await run("conntrack", "-L", "-f", _FAMILIES[network.version], "-s", str(network))
        return await asyncio.to_thread(lambda: sorted(self._without_device(network, sources(listed))))

    def _without_device(self, network: Network, addresses: set[str]) -> Iterator[str]:
        first = int(network.network_address)
        return (address for address in addresses if not self._devices.holder(int(ip_address(address)) - first))

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.warning("connections of devices that are gone cannot be ended: %s", trouble)
        self._trouble = trouble


def sources(listed: str) -> set[str]:
    """Who began the connections, of `conntrack -L`: the first `src=` of each line."""
    return {found[1] for line in listed.splitlines() if (found := _SOURCE.search(line))}
