"""Filters about the systemd units of a gateway: their names, and how their files are verified."""

from collections.abc import Callable, Mapping
from typing import Any

Host = Mapping[str, Any]
Settings = Mapping[str, Any]

AGENT, TAILSCALE = "meshgate-agent.service", "meshgate-tailscale.service"
VENDOR, KEYS = "tailscaled.service", "meshgate-keys.service"
OURS = "meshgate-"
SERVERS = {"openvpn": "OpenVPN", "ipsec": "IPsec"}
"""The ways in that have servers of their own."""


def own_units(settings: Settings) -> list[str]:
    """The units that this gateway has."""
    wireguard, servers = ([unit_of(way) for way in settings[kind]] for kind in ("wireguard", "servers"))
    return [*wireguard, AGENT, *servers, *([TAILSCALE] if settings["in_mesh"] else [])]


def unit_of(way: str) -> str:
    """The unit of a way in, or of an interface of WireGuard."""
    return f"{OURS}{way}.service"


def gateway_verify_unit(host: Host) -> str:
    """The command that a unit's file has to pass before it is installed."""
    # Without the option (systemd 250) it looks at the unit's neighbours, too, and fails for none of its warnings.
    return f"systemd-analyze verify {'--recursive-errors=no ' if host['systemd'] >= 250 else ''}%s"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {function.__name__: function for function in (gateway_verify_unit,)}
