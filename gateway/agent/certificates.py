"""Certificates that the gateway issues: of devices, for their own keys, and of its own servers.

The stack's CA signs the gateway's issuing certificate and no other: whoever gets hold of the issuing key can be shut
out by a new one, and the CA goes on. A device's certificate is not kept: it is made anew from its key whenever it is
asked for, and is as good as the ones before. Being on the list of devices decides, not having a certificate.
"""

import base64
import datetime
import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError, read_secret

LEEWAY = timedelta(hours=1)
"""By so much a clock may be late."""
LONGEST = timedelta(days=3650)
"""A certificate of a device without a ttl."""
SERVERS = timedelta(days=365)
RENEWED_BEFORE = timedelta(days=60)
"""So long before its end a server's certificate is replaced."""


def device_id(certified_key: bytes) -> str:
    """The id of the device that has this key (SubjectPublicKeyInfo in DER): its SHA-256 in base64, 44 characters."""
    return base64.b64encode(hashlib.sha256(certified_key).digest()).decode()


def common_name(device: str) -> str:
    """A device's id as the common name of its certificate: URL-safe and without padding, 43 characters."""
    return device.rstrip("=").replace("+", "-").replace("/", "_")


def device_named(name: str) -> str:
    """The id of a device whose certificate has this common name."""
    return name.replace("-", "+").replace("_", "/") + "="


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key on P-256, which every client takes."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as PKCS #8 in PEM."""
    kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*kind).decode()


def certified(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half of a key, as certificates have it."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True)
class Validity:
    """From when and until when a certificate is good."""

    begin: datetime.datetime
    end: datetime.datetime


@dataclass(frozen=True)
class Credentials:
    """A certificate with those that lead to the CA, and its private key; all in PEM."""

    chain: str
    key: str


def load_issuer(settings: AgentSettings) -> "Issuer":
    """The gateway's issuer; SettingsError if it has none that can be used."""
    if settings.issuing_certificate_file is None or settings.issuing_key_file is None:
        raise SettingsError("MESHGATE_ISSUING_CERTIFICATE_FILE and MESHGATE_ISSUING_KEY_FILE are not set")
    chain = read_secret("MESHGATE_ISSUING_CERTIFICATE_FILE", settings.issuing_certificate_file)
    key = read_secret("MESHGATE_ISSUING_KEY_FILE", settings.issuing_key_file)
    try:
        return Issuer(chain, key)
    except ValueError as error:
        raise SettingsError(
            f"MESHGATE_ISSUING_CERTIFICATE_FILE: {settings.issuing_certificate_file} and {settings.issuing_key_file} "
            f"are not an issuing certificate, its CA's and its key: {error}"
        ) from error


class Issuer:
    """The gateway's issuing certificate and key."""

    def __init__(self, chain: str, key: str) -> None:
        """`chain` is the issuing certificate and then the CA's; ValueError if these three do not belong together."""
        certificates = x509.load_pem_x509_certificates(chain.encode())
        try:
            private = serialization.load_pem_private_key(key.encode(), None)
        except TypeError as error:
            raise ValueError("the issuing key has a passphrase") from error
        if len(certificates) != 2 or not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError("an issuing certificate is followed by its CA's, and its key is on an elliptic curve")
        self._certificate, self._root = certificates
        try:
            self._certificate.verify_directly_issued_by(self._root)
        except (TypeError, InvalidSignature) as error:
            raise ValueError("the CA has not signed the issuing certificate") from error
        if self._certificate.public_key() != private.public_key():
            raise ValueError("the issuing key is another certificate's")
        self._key = private

    @property
    def ca(self) -> str:
        """The CA's certificate, in PEM: what devices trust."""
        return _pem(self._root)

    @property
    def issuing(self) -> str:
        """The issuing certificate, in PEM."""
        return _pem(self._certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the issuing certificate, as OpenVPN writes it: ad:c6:…"""
        return self._certificate.fingerprint(hashes.SHA256()).hex(":")

    @property
    def expires_at(self) -> datetime.datetime:
        """When nothing that it issued is good any more."""
        return min(self._certificate.not_valid_after_utc, self._root.not_valid_after_utc)

    @property
    def secret(self) -> bytes:
        """32 bytes that only the issuing key's owner knows, to derive other keys from."""
        return self._key.private_numbers().private_value.to_bytes(32, "big")

    def for_device(self, certified_key: bytes, created_at: int, expires_at: int | None) -> str:
        """A device's certificate with the issuing one, in PEM; good until its time is over (seconds since 1970).

        It is good now, also for a device that was registered while a clock was ahead.
        """
        begin = min(datetime.datetime.fromtimestamp(created_at, UTC), datetime.datetime.now(UTC))
        end = datetime.datetime.fromtimestamp(expires_at, UTC) if expires_at else begin + LONGEST
        key = cast("CertificatePublicKeyTypes", serialization.load_der_public_key(certified_key))
        name = common_name(device_id(certified_key))
        certificate = self._issue(key, name, ExtendedKeyUsageOID.CLIENT_AUTH, begin, end)
        return _pem(certificate) + self.issuing

    def for_server(self, name: str) -> Credentials:
        """A server's certificate, of a new key, for a name or an address."""
        key, now = new_key(), datetime.datetime.now(UTC)
        certificate = self._issue(key.public_key(), name, ExtendedKeyUsageOID.SERVER_AUTH, now, now + SERVERS)
        return Credentials(_pem(certificate) + self.issuing, pem(key))

    @property
    def problems(self) -> list[str]:
        """A sentence if nothing can be issued any more, and nothing that was is good."""
        if self.expires_at > datetime.datetime.now(UTC):
            return []
        return [
            f"the gateway's issuing certificate has ended on {self.expires_at:%Y-%m-%d}: give it another one, "
            "with which every device needs a new profile"
        ]

    def is_due(self, validity: Validity) -> bool:
        """Whether a certificate is to be replaced: by one that ends later, or is good already.

        One that is not good yet was issued while a clock was ahead.
        """
        now = datetime.datetime.now(UTC)
        return now < validity.begin or validity.end < min(now + RENEWED_BEFORE, self.expires_at)

    def issued(self, chain: str, name: str) -> Validity | None:
        """When a certificate in PEM is good, if it is of this issuer and for this name; None else."""
        try:
            certificate = x509.load_pem_x509_certificates(chain.encode())[0]
            certificate.verify_directly_issued_by(self._certificate)
            if certificate.subject != _common_name(name):
                return None
        except (ValueError, TypeError, IndexError, InvalidSignature):
            return None
        return Validity(certificate.not_valid_before_utc, certificate.not_valid_after_utc)

    def _issue(
        self,
        key: CertificatePublicKeyTypes,
        name: str,
        usage: x509.ObjectIdentifier,
        begin: datetime.datetime,
        end: datetime.datetime,
    ) -> x509.Certificate:
        signs_only = x509.KeyUsage(
            digital_signature=True,
            **dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False),
            **dict.fromkeys(("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False),
        )
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(name))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            # Of an issuer that has ended, too, so that its end ends no agent, and no way in without certificates.
            .not_valid_before(min(begin, self.expires_at) - LEEWAY)
            .not_valid_after(min(end, self.expires_at))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(signs_only, critical=True)
            .add_extension(x509.SubjectAlternativeName([_alternative_name(name)]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _alternative_name(name: str) -> x509.GeneralName:
    """IPsec clients look for the gateway's name, and it for theirs, here."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
