"""Where the gateway listens, and where clients find it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Transport = Literal["udp", "tcp"]
IKE_PORT, NAT_PORT = 500, 4500
"""What IPsec's clients dial; they know no others."""
IPSEC_INTERFACE = "ipsec0"
"""The kernel's XFRM interface, or charon's own tun device: the first in its network namespace takes no other name."""


def openvpn_interface(transport: str) -> str:
    """OpenVPN's tun device of those who come in by a transport."""
    return f"ovpn-{transport}"


@dataclass(frozen=True)
class WireGuardIdentity:
    """Where WireGuard listens, and as whom: what its interface must really have."""

    interface: str
    listen_port: int
    private_key_file: Path
    public_key: str


@dataclass(frozen=True)
class Listener:
    """A port of this pod or machine that OpenVPN listens on."""

    transport: Transport
    port: int

    @property
    def interface(self) -> str:
        """The tun device of those who come in by it."""
        return openvpn_interface(self.transport)


@dataclass(frozen=True)
class TransportEndpoint:
    """What clients dial. An IPv6 address has no brackets here."""

    transport: Transport
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}:{host}:{self.port}"


def ipsec_endpoints(host: str) -> tuple[TransportEndpoint, ...]:
    """What IPsec's clients dial: always these ports."""
    return tuple(TransportEndpoint("udp", host, port) for port in (IKE_PORT, NAT_PORT))


def _transport(value: object) -> tuple[Transport, str]:
    transport, _, rest = str(value).partition(":")
    for known in get_args(Transport):
        if transport == known:
            return known, rest
    raise ValueError(f"{value} does not begin with udp: or tcp:")


def parse_listener(value: object) -> Listener:
    """`udp:1194` as a listener; ValueError."""
    transport, port = _transport(value)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{value} is not transport:port, for example udp:1194")
    return Listener(transport, int(port))


def parse_transport_endpoint(value: object) -> TransportEndpoint:
    """`udp:vpn.example.org:1194` as what clients dial; ValueError."""
    transport, endpoint = _transport(value)
    host, _, port = check_endpoint(endpoint).rpartition(":")
    return TransportEndpoint(transport, host.strip("[]"), int(port))


def check_endpoint(text: str) -> str:
    """The same text if it is host:port; ValueError if not."""
    host, colon, port = text.rpartition(":")
    bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536) or bare_ipv6:
        raise ValueError("not host:port (an IPv6 address stands in brackets), for example vpn.example.org:51820")
    return text
