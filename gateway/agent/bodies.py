"""What callers of the peer API send and get, by protocol. The API itself is in `api`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag

from gateway.agent.devices import Devices
from gateway.agent.endpoints import ipsec_endpoints
from gateway.agent.labels import LONGEST, label
from gateway.agent.protocol import ProfileFormat
from gateway.agent.protocols.wireguard.keys import PresharedKey, PublicKey
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device, ProtocolName

MAX_TTL_S = 10 * 365 * 86400
PROTOCOLS = get_args(ProtocolName)

Name = Annotated[str, AfterValidator(label)]


class DeviceBody(BaseModel):
    """A device that shall come in. For a known key null unsets, and a field that is not there stays as it is."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    protocol: ProtocolName = "wireguard"
    name: Name | None = Field(None, description=f"a label, of which {LONGEST} characters are kept")
    ttl_seconds: int | None = Field(None, ge=1, le=MAX_TTL_S, description="the device is removed after this time")
    make_key: bool = Field(False, description="the gateway makes the key, says it once and does not keep it")
    profile_format: ProfileFormat | None = Field(None, description="the kind of the answer's `profile`")


class WireGuardBody(DeviceBody):
    """A native WireGuard client, with its own key or with a new one."""

    public_key: PublicKey | None = Field(None, description="the device's own WireGuard public key, base64")
    preshared_key: PresharedKey | None = Field(None, description="an additional secret shared with the device")


class CertifiedBody(DeviceBody):
    """A client with a certificate, which the gateway issues: for the key of a request, or for a new one."""

    certificate_request: str | None = Field(None, description="PKCS #10 in PEM, signed with the device's own key")


def _kind(body: Any) -> str:  # noqa: ANN401 - whatever a caller sends
    protocol = body.get("protocol") if isinstance(body, dict) else None
    return "certified" if protocol in PROTOCOLS and protocol != "wireguard" else "wireguard"


Body = Annotated[
    Annotated[WireGuardBody, Tag("wireguard")] | Annotated[CertifiedBody, Tag("certified")], Discriminator(_kind)
]


class DeviceAnswer(BaseModel):
    """A device, by whatever protocol it comes in."""

    protocol: ProtocolName
    id: str = Field(description="names the device in paths: its WireGuard key, or the digest of its certificate's key")
    name: str | None
    addresses: list[str] = Field(description="the device's own addresses in the tunnel")
    allowed_ips: list[str]
    dns: list[str]
    mtu: int
    expires_at: datetime | None
    created_at: datetime
    last_endpoint: str | None = Field(description="where the device was last heard from")
    last_handshake_at: datetime | None


class WireGuardAnswer(DeviceAnswer):
    """With everything that a WireGuard configuration needs but the device's private key."""

    protocol: Literal["wireguard"]
    public_key: str
    has_preshared_key: bool
    server_public_key: str | None = Field(description="null once the gateway does not offer wireguard any more")
    server_endpoint: str | None = Field(description="host:port; null as the key")
    persistent_keepalive: int
    uses_previous_key: bool = Field(
        description="the gateway's key was rotated, and the device was not heard by the present one yet"
    )


class WireGuardConfigAnswer(WireGuardAnswer):
    """With a WireGuard configuration, as the device is registered."""

    private_key: str | None = Field(description="the key that the gateway made, base64; it is never repeated")
    profile: str = Field(description="the file that `wg-quick` and the apps take, or its QR code (SVG)")


class CertifiedAnswer(DeviceAnswer):
    """A device with a certificate."""

    protocol: Literal["openvpn", "ipsec"]
    server_endpoints: list[str] = Field(description="transport:host:port, for example udp:vpn.example.org:1194")


class CertificateAnswer(CertifiedAnswer):
    """With everything that the device needs, as it is registered."""

    certificate: str = Field(description="the device's certificate and the gateway's issuing one, PEM")
    ca_certificate: str = Field(description="what the gateway's own certificate is checked by, PEM")
    private_key: str | None = Field(description="the key that the gateway made, PKCS #8 in PEM; it is never repeated")
    profile: str = Field(description="a file that the protocol's stock client takes")


class PeerPage(BaseModel):
    """Some of the devices; `next_cursor` gets the following ones and is null on the last page."""

    peers: list[WireGuardAnswer | CertifiedAnswer]
    next_cursor: str | None


def answer(device: Device, devices: Devices, settings: AgentSettings) -> WireGuardAnswer | CertifiedAnswer:
    """What the API says of a device. Preshared keys are never repeated."""
    if device.protocol == "wireguard":
        return WireGuardAnswer(**_wireguard(device, settings), **_common(device, devices, settings))
    return CertifiedAnswer(**_certified(device, settings), **_common(device, devices, settings))


def wireguard_config_answer(
    device: Device, devices: Devices, settings: AgentSettings, config: Mapping[str, str | None]
) -> WireGuardConfigAnswer:
    """What the API says to whoever registers a WireGuard device."""
    return WireGuardConfigAnswer(**_wireguard(device, settings), **_common(device, devices, settings), **config)


def certificate_answer(
    device: Device, devices: Devices, settings: AgentSettings, credentials: Mapping[str, str | None]
) -> CertificateAnswer:
    """What the API says to whoever registers a device with a certificate."""
    return CertificateAnswer(**_certified(device, settings), **_common(device, devices, settings), **credentials)


def _wireguard(device: Device, settings: AgentSettings) -> dict[str, Any]:
    return {
        "protocol": "wireguard",
        "public_key": device.public_key,
        "has_preshared_key": device.preshared_key is not None,
        "server_public_key": settings.public_key,
        "server_endpoint": settings.endpoint if settings.wireguard else None,
        "persistent_keepalive": settings.persistent_keepalive,
        "uses_previous_key": settings.previous is not None and device.server_key != settings.public_key,
    }


def _certified(device: Device, settings: AgentSettings) -> dict[str, Any]:
    openvpn = device.protocol == "openvpn"
    endpoints = settings.openvpn_endpoints if openvpn else ipsec_endpoints(settings.host)
    return {"protocol": device.protocol, "server_endpoints": list(map(str, endpoints))}


def _common(device: Device, devices: Devices, settings: AgentSettings) -> dict[str, Any]:
    return {
        "id": device.public_key,
        "name": device.name,
        "addresses": devices.addresses(device),
        "allowed_ips": list(map(str, settings.allowed_ips)),
        "dns": list(map(str, settings.dns)),
        "mtu": settings.mtu,
        "expires_at": _time(device.expires_at),
        "created_at": datetime.fromtimestamp(device.created_at, UTC),
        "last_endpoint": device.endpoint,
        "last_handshake_at": _time(device.last_handshake),
    }


def _time(seconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
