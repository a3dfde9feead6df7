"""What can be dialled: a host name, or an address that packets reach. Loopback is one: a lab's clients are near."""

import ipaddress
import re

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_LONGEST_NAME = 253
_NOBODYS = {
    ipaddress.ip_network(network): what
    for what, networks in {
        "stands for every address of a machine": ("0.0.0.0/8", "::/128"),
        "is link-local, and so means another host on each cable": ("169.254.0.0/16", "fe80::/10"),
        "is of multicast": ("224.0.0.0/4", "ff00::/8"),
        "is reserved": ("240.0.0.0/4",),
    }.items()
    for network in networks
}


def dialled(host: str) -> str:
    """The host; ValueError for one that nobody can dial."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _is_name(host):
            return host
        raise ValueError(f"{host!r} is neither a host name nor an IP address") from None
    for network, what in _NOBODYS.items():
        if address in network:
            raise ValueError(f"{host} {what}; write the name or the address by which the host is reached")
    return host


def same(host: str) -> str:
    """The one spelling of a host that all its spellings share."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def _is_name(host: str) -> bool:
    """By RFC 1123. A last label of digits alone is an address gone wrong (RFC 3696)."""
    labels = host.split(".")
    return len(host) <= _LONGEST_NAME and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
