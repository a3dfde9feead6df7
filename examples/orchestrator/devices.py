"""A device's own key, and what the app is told of its way in: one class for each `access` that the app can ask for.

The private key is made here and goes to the app alone: a gateway gets the public half, or a certificate request. Only
files that hold the key in a form of their own (IPsec's) are the gateway's to make, with the key.
"""

import base64
import hashlib
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from pydantic import BaseModel

_FORMATS = {
    **dict.fromkeys(("ios", "ipad", "mac", "darwin"), "mobileconfig"),
    "android": "sswan",
    "windows": "powershell",
}
"""By a word in the name of the device's system; for all others it is the script for strongSwan on Linux."""


class Registered(BaseModel):
    """What every app is told."""

    success: bool = True
    message: str = "Device registered"
    device_name: str


class WireGuardRegistered(Registered):
    """What the app makes its WireGuard config of; comma-separated where WireGuard's own format is."""

    address: str
    privateKey: str  # noqa: N815 (the app's field names)
    publicKey: str  # noqa: N815
    serverPublicKey: str  # noqa: N815
    serverEndpoint: str  # noqa: N815
    allowedIPs: str  # noqa: N815
    dns: str
    persistentKeepalive: int  # noqa: N815


class ProfileRegistered(Registered):
    """What the app hands to another client: its profile. `publicKey` names the device when it is unregistered."""

    address: str
    publicKey: str  # noqa: N815
    profile: str
    profileFormat: str  # noqa: N815


class WireGuardDevice:
    """A native WireGuard client."""

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self.id = _base64(self._private.public_key().public_bytes_raw())

    @property
    def fields(self) -> dict[str, Any]:
        """Its public key."""
        return {"public_key": self.id}

    def registered(self, name: str, told: dict[str, Any]) -> WireGuardRegistered:
        """June's fields."""
        return WireGuardRegistered(
            device_name=name,
            address=",".join(told["addresses"]),
            privateKey=_base64(self._private.private_bytes_raw()),
            publicKey=self.id,
            serverPublicKey=told["server_public_key"],
            serverEndpoint=told["server_endpoint"],
            allowedIPs=",".join(told["allowed_ips"]),
            dns=",".join(told["dns"]),
            persistentKeepalive=told["persistent_keepalive"],
        )


class OpenVpnDevice:
    """A stock OpenVPN client."""

    def __init__(self) -> None:
        self._private = generate_private_key(SECP256R1())
        public = self._private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.id = _base64(hashlib.sha256(public).digest())

    @property
    def fields(self) -> dict[str, Any]:
        """A request for its certificate, which the gateway names."""
        request = (
            x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(self._private, hashes.SHA256())
        )
        return {"protocol": "openvpn", "certificate_request": request.public_bytes(Encoding.PEM).decode()}

    def registered(self, name: str, told: dict[str, Any]) -> ProfileRegistered:
        """The gateway's profile, with the private key that it lacks."""
        key = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return ProfileRegistered(
            device_name=name,
            address=",".join(told["addresses"]),
            publicKey=self.id,
            profile=f"{told['profile']}<key>\n{key}</key>\n",
            profileFormat="ovpn",
        )


class IpSecDevice:
    """A system's own IPsec client, or strongSwan."""

    id = None
    """The gateway makes the key."""

    def __init__(self, system: str) -> None:
        self._format = next((kind for word, kind in _FORMATS.items() if word in system.lower()), "swanctl")

    @property
    def fields(self) -> dict[str, Any]:
        """A key, and the file that the device's system takes."""
        return {"protocol": "ipsec", "make_key": True, "profile_format": self._format}

    def registered(self, name: str, told: dict[str, Any]) -> ProfileRegistered:
        """The gateway's profile."""
        return ProfileRegistered(
            device_name=name,
            address=",".join(told["addresses"]),
            publicKey=told["id"],
            profile=told["profile"],
            profileFormat=self._format,
        )


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
