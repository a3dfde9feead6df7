"""Devices with certificates: what their registration asks for, and what they are given.

Only a gateway that offers such a protocol has one of these, and loads what it needs: 9 MiB.
"""

from collections.abc import Mapping

from gateway.agent import certificate_requests
from gateway.agent.bodies import CertifiedBody
from gateway.agent.certificates import Issuer, certified, device_id, new_key, pem
from gateway.agent.errors import InvalidFieldError, UnavailableError
from gateway.agent.protocol import ProfileFormat
from gateway.agent.protocols.profiles import PROFILES, WITH_KEY, Material
from gateway.agent.registration import Registration
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device


class CertifiedDevices:
    """Gives devices certificates of the gateway's issuer."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer

    def wanted(self, body: CertifiedBody) -> tuple[Registration, str | None]:
        """What a caller asks for, and the private key if one was made for it; InvalidFieldError if it cannot be had."""
        for problem in self._issuer.problems:
            raise UnavailableError(problem)
        formats = list(PROFILES[body.protocol])
        if body.profile_format not in {None, *formats}:
            raise InvalidFieldError(f"profile_format: {body.protocol} has {', '.join(formats)}", "profile_format")
        if body.make_key == (body.certificate_request is not None):
            raise InvalidFieldError("send the device's certificate_request, or make_key: true", "certificate_request")
        if body.profile_format in WITH_KEY and not body.make_key:
            raise InvalidFieldError(
                f"profile_format: {body.profile_format} holds the private key; ask for make_key, or another format",
                "profile_format",
            )
        made = new_key() if body.make_key else None
        try:
            key = certified(made) if made else certificate_requests.read(body.certificate_request or "", body.name)
        except ValueError as error:
            raise InvalidFieldError(f"certificate_request: {error}", "certificate_request") from error
        given = body.model_dump(include={"protocol", "name", "ttl_seconds"}, exclude_unset=True)
        return Registration(public_key=device_id(key), certified_key=key, **given), pem(made) if made else None

    def credentials(
        self,
        device: Device,
        settings: AgentSettings,
        private_key: str | None = None,
        profile_format: ProfileFormat | None = None,
    ) -> Mapping[str, str | None]:
        """A device's certificate, its CA's, its private key if the gateway has just made it, and its profile.

        InvalidFieldError if there is no such profile.
        """
        profiles = PROFILES[device.protocol]
        chosen = next(iter(profiles)) if profile_format is None else profile_format
        if chosen not in profiles:
            raise InvalidFieldError(f"a device of {device.protocol} has profiles of {', '.join(profiles)}", "format")
        certificate = self._issuer.for_device(device.certified_key or b"", device.created_at, device.expires_at)
        material = Material(self._issuer, device.public_key, certificate, private_key)
        try:
            profile = profiles[chosen](material, settings)
        except ValueError as error:
            raise InvalidFieldError(str(error), "format") from error
        return {
            "certificate": certificate,
            "ca_certificate": self._issuer.ca,
            "private_key": private_key,
            "profile": profile,
        }
