"""The files by which devices with certificates get ready, by protocol and format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.agent.certificates import Issuer, common_name
from gateway.agent.protocol import ProfileFormat
from gateway.agent.protocols.ipsec.profiles import android, apple, swanctl, windows
from gateway.agent.protocols.ipsec.profiles.identity import Identity
from gateway.agent.protocols.openvpn import profile as openvpn
from gateway.agent.settings import AgentSettings
from gateway.agent.store import ProtocolName


@dataclass(frozen=True)
class Material:
    """What a file is made of: the device's id, its certificate and its private key, if the gateway has just made it."""

    issuer: Issuer
    device: str
    certificate: str
    private_key: str | None


def _openvpn(material: Material, settings: AgentSettings) -> str:
    return openvpn.profile(settings, material.issuer, material.device, material.certificate, material.private_key)


def _ipsec(write: Callable[[Identity, AgentSettings], str]) -> Callable[[Material, AgentSettings], str]:
    def profile(material: Material, settings: AgentSettings) -> str:
        identity = Identity(
            name=common_name(material.device),
            host=settings.host,
            ca=material.issuer.ca,
            chain=material.certificate,
            private_key=material.private_key,
        )
        return write(identity, settings)

    return profile


PROFILES: Mapping[ProtocolName, Mapping[ProfileFormat, Callable[[Material, AgentSettings], str]]] = {
    "openvpn": {"ovpn": _openvpn},
    "ipsec": {
        "swanctl": _ipsec(swanctl.profile),
        "mobileconfig": _ipsec(apple.profile),
        "sswan": _ipsec(android.profile),
        "powershell": _ipsec(windows.profile),
    },
}
"""The first format of each is what a device gets that asks for none."""
WITH_KEY = frozenset[ProfileFormat]({"mobileconfig"})
"""Formats of files that hold the private key, or are of no use: ValueError without one."""
