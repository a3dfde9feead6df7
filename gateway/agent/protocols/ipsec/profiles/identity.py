"""What every IPsec client is told: who it is, who the gateway is, and whom it trusts."""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat, load_pem_private_key, pkcs12
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES

NAME = "Meshgate"
"""What clients show."""


@dataclass(frozen=True)
class Identity:
    """A device of a gateway. All but names in PEM; the private key only if the gateway has just made it."""

    name: str
    """The common name of its certificate, which it sends as its id."""
    host: str
    """The gateway, as clients dial it and as its certificate names it."""
    ca: str
    chain: str
    """The device's certificate and the issuing one."""
    private_key: str | None

    @property
    def certificates(self) -> list[x509.Certificate]:
        """The device's certificate and the issuing one."""
        return x509.load_pem_x509_certificates(self.chain.encode())

    @property
    def ca_der(self) -> bytes:
        """The CA's certificate."""
        return x509.load_pem_x509_certificate(self.ca.encode()).public_bytes(serialization.Encoding.DER)

    @property
    def is_rsa(self) -> bool:
        """Whether the device's key is RSA."""
        return isinstance(self.certificates[0].public_key(), rsa.RSAPublicKey)

    def pkcs12(self, password: str) -> bytes | None:
        """Private key and certificates in one (RFC 7292), by ciphers that every platform reads; None without a key.

        The password hides nothing: it stands beside. Platforms take no file without one.
        """
        if self.private_key is None:
            return None
        own, issuing = self.certificates
        encryption = (
            PrivateFormat.PKCS12.encryption_builder()
            .kdf_rounds(2048)
            .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
            .hmac_hash(hashes.SHA1())  # noqa: S303 - see above
            .build(password.encode())
        )
        key = load_pem_private_key(self.private_key.encode(), None)
        return pkcs12.serialize_key_and_certificates(NAME.encode(), key, own, [issuing], encryption)  # type: ignore[arg-type]
