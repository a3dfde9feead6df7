"""For iOS, iPadOS and macOS: a .mobileconfig (Apple, "Configuration Profile Reference", IKEv2)."""

import plistlib
import secrets
import uuid

from gateway.agent.protocols.ipsec.profiles.identity import NAME, Identity
from gateway.agent.settings import AgentSettings

_SECURITY = {"EncryptionAlgorithm": "AES-256-GCM", "IntegrityAlgorithm": "SHA2-384", "DiffieHellmanGroup": 20}
LARGEST_MTU = 1400


def profile(identity: Identity, settings: AgentSettings) -> str:
    """The profile; ValueError without a private key, which has to be in it."""
    password = secrets.token_urlsafe(16)
    bundle = identity.pkcs12(password)
    if bundle is None:
        raise ValueError("a .mobileconfig holds the device's private key: have it made (make_key) for this format")
    root, own, vpn = (str(uuid.uuid4()) for _ in range(3))
    content = [
        _payload("com.apple.security.root", root, "ca", {"PayloadContent": identity.ca_der}),
        _payload("com.apple.security.pkcs12", own, "device", {"PayloadContent": bundle, "Password": password}),
        _payload("com.apple.vpn.managed", vpn, "vpn", _vpn(identity, own, settings)),
    ]
    whole = _payload("Configuration", str(uuid.uuid4()), "profile", {"PayloadContent": content})
    return plistlib.dumps(whole).decode()


def _vpn(identity: Identity, certificate: str, settings: AgentSettings) -> dict[str, object]:
    return {
        "UserDefinedName": NAME,
        "VPNType": "IKEv2",
        "IKEv2": {
            "RemoteAddress": identity.host,
            "RemoteIdentifier": identity.host,
            "LocalIdentifier": identity.name,
            "AuthenticationMethod": "Certificate",
            "PayloadCertificateUUID": certificate,
            "CertificateType": "RSA" if identity.is_rsa else "ECDSA256",
            "ExtendedAuthEnabled": 0,
            "EnablePFS": 1,
            "DeadPeerDetectionRate": "High",
            "DisableMOBIKE": 0,
            "DisableRedirect": 1,
            "MTU": min(settings.mtu, LARGEST_MTU),
            "IKESecurityAssociationParameters": _SECURITY,
            "ChildSecurityAssociationParameters": _SECURITY,
            # A session that ended is begun again by itself.
            "OnDemandEnabled": 1,
            "OnDemandRules": [{"Action": "Connect"}],
        },
        "IPv4": {"OverridePrimary": 1},
    }


def _payload(kind: str, identity: str, name: str, content: dict[str, object]) -> dict[str, object]:
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadUUID": identity,
        "PayloadIdentifier": f"meshgate.{identity}",
        "PayloadDisplayName": f"{NAME}: {name}",
        **content,
    }
