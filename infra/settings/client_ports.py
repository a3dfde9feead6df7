"""The ports that a gateway's clients dial: published by a cluster or a machine, and listened on there."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infra.settings.gateway import GatewaySettings

OPENVPN_PORT = 1194
"""What OpenVPN listens on in a pod, UDP and TCP."""
IKE_PORT, NAT_PORT = 500, 4500
"""What IPsec's clients dial."""
PREVIOUS_KEY, PREVIOUS_SERVER = "previous-key", "wireguard-previous"
"""The port of WireGuard's previous key, and who listens on it."""


@dataclass(frozen=True)
class ClientPort:
    """A port that clients dial."""

    way: str
    """Of `access`."""
    name: str
    """Among the ports of a container and of a Service."""
    transport: str
    published: int
    listened: int
    """The port of the pod or of the machine."""

    @property
    def server(self) -> str:
        """Who listens on it: the server of its way, or that of the previous key."""
        return PREVIOUS_SERVER if self.name == PREVIOUS_KEY else self.way


def of(gateway: "GatewaySettings") -> tuple[ClientPort, ...]:
    """All that clients dial. A machine publishes the very ports that it listens on."""
    found = [ClientPort("wireguard", "wireguard", "udp", gateway.port, gateway.port)] if gateway.has_wireguard else []
    if gateway.previous:
        found.append(ClientPort("wireguard", PREVIOUS_KEY, "udp", gateway.previous.port, gateway.previous.port))
    for transport, port in gateway.openvpn_ports.items():
        found.append(ClientPort("openvpn", f"openvpn-{transport}", transport, port, OPENVPN_PORT))
    if "ipsec" in gateway.access:
        found.append(ClientPort("ipsec", "ipsec-ike", "udp", IKE_PORT, IKE_PORT))
        found.append(ClientPort("ipsec", "ipsec-nat", "udp", NAT_PORT, NAT_PORT))
    if gateway.target == "metal":
        return tuple(replace(port, listened=port.published) for port in found)
    return tuple(found)
