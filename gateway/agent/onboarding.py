"""A device comes on board: what a caller asks as a registration, and what a registered device is given."""

from typing import TYPE_CHECKING

from gateway.agent import wireguard_devices
from gateway.agent.bodies import (
    CertificateAnswer,
    CertifiedBody,
    WireGuardBody,
    WireGuardConfigAnswer,
    certificate_answer,
    wireguard_config_answer,
)
from gateway.agent.devices import Devices
from gateway.agent.errors import InvalidFieldError
from gateway.agent.protocol import ProfileFormat
from gateway.agent.registration import Registration
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device

if TYPE_CHECKING:
    from gateway.agent.certified_devices import CertifiedDevices


def wanted(
    body: WireGuardBody | CertifiedBody, settings: AgentSettings, certified: "CertifiedDevices | None"
) -> tuple[Registration, str | None]:
    """What a caller asks for, and the private key if one was made for it; InvalidFieldError if it cannot be had."""
    if body.protocol in settings.offered:
        if isinstance(body, WireGuardBody):
            return wireguard_devices.wanted(body)
        if certified:
            return certified.wanted(body)
    raise InvalidFieldError(f"this gateway does not offer {body.protocol}", "protocol")


def registered(
    device: Device,
    devices: Devices,
    settings: AgentSettings,
    certified: "CertifiedDevices | None",
    private_key: str | None,
    profile_format: ProfileFormat | None,
) -> WireGuardConfigAnswer | CertificateAnswer:
    """All that a device needs, once it is registered."""
    if certified is None or device.protocol == "wireguard":
        addresses = devices.addresses(device)
        config = wireguard_devices.config(device, settings, addresses, private_key, profile_format)
        return wireguard_config_answer(device, devices, settings, config)
    credentials = certified.credentials(device, settings, private_key, profile_format)
    return certificate_answer(device, devices, settings, credentials)


def ready_profile(
    device: Device,
    devices: Devices,
    settings: AgentSettings,
    certified: "CertifiedDevices | None",
    wanted: ProfileFormat | None,
) -> str:
    """A file that the device's stock client takes, but for its private key; InvalidFieldError if it has none."""
    if device.protocol not in settings.offered:
        raise InvalidFieldError(f"this gateway does not offer {device.protocol} any more", "format")
    if certified is None or device.protocol == "wireguard":
        config = wireguard_devices.config(device, settings, devices.addresses(device), profile_format=wanted)
        return str(config["profile"])
    return str(certified.credentials(device, settings, profile_format=wanted)["profile"])
