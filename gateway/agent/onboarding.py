"""A device comes on board: what a caller asks as a registration, and what a registered device is given."""

from typing import TYPE_CHECKING, Literal

from gateway.agent.bodies import (
    CertificateAnswer,
    CertifiedBody,
    WireGuardAnswer,
    WireGuardBody,
    certificate_answer,
    wireguard_answer,
)
from gateway.agent.devices import Devices
from gateway.agent.errors import InvalidFieldError
from gateway.agent.protocols.wireguard.profile import profile
from gateway.agent.registration import Registration
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device

if TYPE_CHECKING:
    from gateway.agent.certified_devices import CertifiedDevices

Format = Literal["conf", "ovpn"]


def wanted(
    body: WireGuardBody | CertifiedBody, certified: "CertifiedDevices | None"
) -> tuple[Registration, str | None]:
    """What a caller asks for, and the private key if one was made for it; InvalidFieldError if it cannot be had."""
    if isinstance(body, WireGuardBody):
        return Registration(**body.model_dump(exclude_unset=True)), None
    if certified is None:
        raise InvalidFieldError(f"this gateway does not offer {body.protocol}", "protocol")
    return certified.wanted(body)


def registered(
    device: Device,
    devices: Devices,
    settings: AgentSettings,
    certified: "CertifiedDevices | None",
    private_key: str | None,
) -> WireGuardAnswer | CertificateAnswer:
    """All that a device needs, once it is registered."""
    if certified is None or device.protocol == "wireguard":
        return wireguard_answer(device, devices, settings)
    return certificate_answer(device, devices, settings, certified.credentials(device, settings, private_key))


def ready_profile(
    device: Device,
    devices: Devices,
    settings: AgentSettings,
    certified: "CertifiedDevices | None",
    wanted: Format | None,
) -> str:
    """A file that the device's stock client takes, but for its private key; InvalidFieldError if it has none."""
    own: Format = "conf" if device.protocol == "wireguard" else "ovpn"
    if wanted not in {None, own}:
        raise InvalidFieldError(f"the profile of a device of {device.protocol} is of the format {own}", "format")
    if device.protocol == "wireguard":
        return profile(settings, device, devices.addresses(device))
    if certified is None:
        raise InvalidFieldError(f"this gateway does not offer {device.protocol} any more", "format")
    return str(certified.credentials(device, settings)["profile"])
