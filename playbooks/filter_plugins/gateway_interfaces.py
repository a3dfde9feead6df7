"""Filter that tells which of WireGuard's two interfaces each key has on a host.

A key keeps its interface as long as it lives, since another one would have no sessions. So in a rotation the new key
gets the other interface, and in the next rotation the first one again. The agent's settings on the host tell it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Settings = Mapping[str, Any]

OTHER_UNIT = {"wireguard": "wireguard-1", "wireguard-1": "wireguard"}
"""The units by their interfaces: the first is of the first."""


class _Key(NamedTuple):
    """What the host has of a key."""

    interface: str
    public_key: str


def gateway_interfaces(settings: Settings, noted: str) -> Settings:
    """The settings, in which each key has its interface; `noted` is what the host has of gateway.env.

    `previous_public_key` of the answer is the key that has the previous one's port there; empty if none has.
    """
    lines = dict(line.split("=", 1) for line in noted.splitlines() if "=" in line)
    keys = dict(_key(lines, f"MESHGATE_{which}") for which in ("PREVIOUS_", ""))
    previous = keys.get(str(settings["previous_port"]))
    told = {**settings, "previous_public_key": previous.public_key if previous else ""}
    return _exchanged(told) if _is_at_the_second(settings, keys, lines.get("MESHGATE_INTERFACE")) else told


def _key(lines: Mapping[str, str], prefix: str) -> tuple[str, _Key]:
    """By its port, which tells one from the other."""
    port, interface, key = (lines.get(f"{prefix}{name}", "") for name in ("LISTEN_PORT", "INTERFACE", "PUBLIC_KEY"))
    return port, _Key(interface, key)


def _is_at_the_second(settings: Settings, keys: Mapping[str, _Key], last: str | None) -> bool:
    """Whether the present key's interface is the second one; `last` is that of the present key until now."""
    first, second = str(settings["interface"]), str(settings["previous_interface"])
    if previous := keys.get(str(settings["previous_port"])):
        return previous.interface == first
    if present := keys.get(str(settings["port"])):
        return present.interface == second
    return last == second  # another port and the same key


def _exchanged(settings: Settings) -> Settings:
    first, second = settings["interface"], settings["previous_interface"]
    other = {first: second, second: first}

    def environment(told: Mapping[str, str]) -> dict[str, str]:
        return {name: other.get(value, value) for name, value in told.items()}

    return {
        **settings,
        "interface": second,
        "previous_interface": first,
        "interfaces": [other.get(name, name) for name in settings["interfaces"]],
        "environment": environment(settings["environment"]),
        "wireguard": {
            OTHER_UNIT[unit]: {
                **one,
                "interface": other[one["interface"]],
                "environment": environment(one["environment"]),
            }
            for unit, one in settings["wireguard"].items()
        },
    }


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {gateway_interfaces.__name__: gateway_interfaces}
