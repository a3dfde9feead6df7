"""The sockets by which `wg` talks to wireguard-go, one per interface."""

import socket
from pathlib import Path

SOCKETS = Path("/var/run/wireguard")
"""The directory, fixed in both programs."""


def path(interface: str) -> Path:
    """The socket of one interface."""
    return SOCKETS / f"{interface}.sock"


def listens(interface: str) -> bool:
    """Whether wireguard-go's socket for the interface takes connections."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path(interface)))
        except OSError:
            return False
    return True


def is_starting(interface: str) -> bool:
    """Whether wireguard-go has made the interface, but does not listen yet."""
    return Path("/sys/class/net", interface, "tun_flags").exists() and not listens(interface)
