"""A device comes on board: what a caller asks as a registration, and what a registered device is given."""

from typing import Literal

from gateway.agent import certificate_requests
from gateway.agent.bodies import (
    CertificateAnswer,
    CertifiedBody,
    WireGuardAnswer,
    WireGuardBody,
    certificate_answer,
    wireguard_answer,
)
from gateway.agent.certificates import Issuer, certified, device_id, new_key, pem
from gateway.agent.devices import Devices
from gateway.agent.errors import InvalidFieldError
from gateway.agent.protocols.openvpn import profile as openvpn
from gateway.agent.protocols.wireguard import profile as wireguard
from gateway.agent.registration import Registration
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device


def wanted(body: WireGuardBody | CertifiedBody, issuer: Issuer | None) -> tuple[Registration, str | None]:
    """What a caller asks for, and the private key if one was made for it; InvalidFieldError if it cannot be had."""
    if isinstance(body, WireGuardBody):
        return Registration(**body.model_dump(exclude_unset=True)), None
    if issuer is None:
        raise InvalidFieldError(f"this gateway does not offer {body.protocol}", "protocol")
    if body.make_key == (body.certificate_request is not None):
        raise InvalidFieldError("send the device's certificate_request, or make_key: true", "certificate_request")
    made = new_key() if body.make_key else None
    try:
        key = certified(made) if made else certificate_requests.read(body.certificate_request or "", body.name)
    except ValueError as error:
        raise InvalidFieldError(f"certificate_request: {error}", "certificate_request") from error
    given = body.model_dump(include={"protocol", "name", "ttl_seconds"}, exclude_unset=True)
    return Registration(public_key=device_id(key), certified_key=key, **given), pem(made) if made else None


def registered(
    device: Device, devices: Devices, settings: AgentSettings, issuer: Issuer | None, private_key: str | None
) -> WireGuardAnswer | CertificateAnswer:
    """All that a device needs, once it is registered."""
    if issuer is None or device.certified_key is None:
        return wireguard_answer(device, devices, settings)
    credentials: dict[str, str | None] = {
        "certificate": issuer.for_device(device.certified_key, device.created_at, device.expires_at),
        "ca_certificate": issuer.ca,
        "private_key": private_key,
    }
    credentials["profile"] = openvpn.profile(
        settings, issuer, device.public_key, str(credentials["certificate"]), private_key
    )
    return certificate_answer(device, devices, settings, credentials)


Format = Literal["conf", "ovpn"]


def ready_profile(
    device: Device, devices: Devices, settings: AgentSettings, issuer: Issuer | None, wanted: Format | None
) -> str:
    """A file that the device's stock client takes, but for its private key; InvalidFieldError if it has none."""
    own: Format = "conf" if device.protocol == "wireguard" else "ovpn"
    if wanted not in {None, own}:
        raise InvalidFieldError(f"the profile of a device of {device.protocol} is of the format {own}", "format")
    if device.certified_key is None:
        return wireguard.profile(settings, device, devices.addresses(device))
    if issuer is None:
        raise InvalidFieldError(f"this gateway does not offer {device.protocol} any more", "format")
    certificate = issuer.for_device(device.certified_key, device.created_at, device.expires_at)
    return openvpn.profile(settings, issuer, device.public_key, certificate, None)
