"""Routes to devices: each has one for each of its addresses, to the interface by which it comes in.

They win over the route to the client network, which leads to WireGuard's interface. So none may outlive its device: the
next one at that address may come by WireGuard.
"""

import json
from collections.abc import Iterable
from ipaddress import ip_address

from gateway.agent.command import run
from gateway.agent.devices import Devices
from gateway.agent.pool import Network, addresses
from gateway.agent.store import Device, ProtocolName


async def lead(devices: Iterable[Device], networks: tuple[Network, ...], interface: str) -> None:
    """Let devices' routes lead to an interface, wherever they led before; CommandError."""
    await _batch(
        f"replace {address} dev {interface}" for device in devices for address in addresses(networks, device.number)
    )


async def forget(devices: Iterable[Device], networks: tuple[Network, ...]) -> None:
    """Take the routes to devices away; CommandError, also if one of them has none."""
    await _batch(f"delete {address}" for device in devices for address in addresses(networks, device.number))


async def end_strays(devices: Devices, protocol: ProtocolName, networks: tuple[Network, ...], interface: str) -> None:
    """Take away the routes to an interface whose devices may not be in by its protocol; CommandError."""
    for network in networks:
        family = "-4" if network.version == 4 else "-6"
        listed = json.loads(await run("ip", family, "-json", "route", "show", "dev", interface) or "[]")
        own = [route["dst"] for route in listed if "/" not in route["dst"]]
        strays = [
            address
            for address in own
            if (holder := devices.holder(int(ip_address(address)) - int(network.network_address))) is None
            or holder.protocol != protocol
        ]
        if strays:
            await _batch(f"delete {address}/{network.max_prefixlen} dev {interface}" for address in strays)


async def _batch(changes: Iterable[str]) -> None:
    await run("ip", "-force", "-batch", "-", stdin="".join(f"route {change}\n" for change in changes))
