"""Devices by WireGuard: what their registration asks for, and what they are given."""

from collections.abc import Mapping, Sequence

from gateway.agent.bodies import WireGuardBody
from gateway.agent.errors import InvalidFieldError
from gateway.agent.protocol import ProfileFormat
from gateway.agent.protocols.wireguard.keys import new_key_pair
from gateway.agent.protocols.wireguard.profile import profile, qr_code
from gateway.agent.registration import Registration
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device

FORMATS: tuple[ProfileFormat, ...] = ("conf", "qr")


def wanted(body: WireGuardBody) -> tuple[Registration, str | None]:
    """What a caller asks for, and the private key if one was made for it; InvalidFieldError if it cannot be had."""
    if body.profile_format not in {None, *FORMATS}:
        raise InvalidFieldError(f"profile_format: wireguard has {', '.join(FORMATS)}", "profile_format")
    if body.make_key == (body.public_key is not None):
        raise InvalidFieldError("send the device's public_key, or make_key: true", "public_key")
    if body.profile_format == "qr" and not body.make_key:
        raise InvalidFieldError(
            "profile_format: qr holds the private key; ask for make_key, or another format", "profile_format"
        )
    private_key, public_key = new_key_pair() if body.public_key is None else (None, body.public_key)
    given = body.model_dump(include={"name", "ttl_seconds", "preshared_key"}, exclude_unset=True)
    return Registration(public_key=public_key, **given), private_key


def config(
    device: Device,
    settings: AgentSettings,
    addresses: Sequence[str],
    private_key: str | None = None,
    profile_format: ProfileFormat | None = None,
) -> Mapping[str, str | None]:
    """A device's private key if the gateway has just made it, and its profile; InvalidFieldError if there is none."""
    if profile_format not in {None, *FORMATS}:
        raise InvalidFieldError(f"a device of wireguard has profiles of {', '.join(FORMATS)}", "format")
    text = profile(settings, device, addresses, private_key)
    if profile_format == "qr":
        if private_key is None:
            raise InvalidFieldError(
                "a QR code holds the device's private key: have it made (make_key), or take another format", "format"
            )
        text = qr_code(text)
    return {"private_key": private_key, "profile": text}
