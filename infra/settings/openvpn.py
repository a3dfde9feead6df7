"""The section `gateways[].openvpn`."""

from typing import Self

from pydantic import model_validator

from infra.settings.section import Section
from infra.settings.value_types import Port


class OpenVpnSettings(Section):
    """Where OpenVPN's clients find a gateway: at the host of its endpoint, on ports of their own."""

    udp_port: Port | None = 1194
    """The published UDP port."""
    tcp_port: Port | None = None
    """The published TCP port, for clients in networks that let no UDP out; 443 passes nearly everywhere."""

    @property
    def ports(self) -> dict[str, int]:
        """The published ports, by their transports."""
        both = {"udp": self.udp_port, "tcp": self.tcp_port}
        return {transport: port for transport, port in both.items() if port}

    @model_validator(mode="after")
    def _has_a_port(self) -> Self:
        if not self.ports:
            raise ValueError("there is neither udp_port nor tcp_port; give one, or leave openvpn out of `access`")
        return self
