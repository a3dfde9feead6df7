"""The stack's certificate authority, and the issuing certificates of its gateways (X.509, RFC 5280).

The CA signs issuing certificates and nothing else. An issuing certificate signs those of devices and servers.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

VALID_FOR = timedelta(days=20 * 365)
LEEWAY = timedelta(hours=1)
"""By so much a clock may be late."""


@dataclass(frozen=True)
class Authority:
    """A certificate and its private key, in PEM."""

    certificate: str
    key: str


def make(name: str) -> Authority:
    """A new CA of this common name."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    return Authority(_pem(_signed(_name(name), key, _name(name), key, now + VALID_FOR, below=1)), _key_pem(key))


def issuing(authority: Authority, name: str) -> Authority:
    """A new issuing certificate below a CA, good for as long. ValueError if the CA has ended."""
    ca = check(authority.certificate)
    signer = cast("ec.EllipticCurvePrivateKey", serialization.load_pem_private_key(authority.key.encode(), None))
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _signed(_name(name), key, ca.subject, signer, ca.not_valid_after_utc, below=0)
    return Authority(_pem(certificate), _key_pem(key))


def check(certificate: str) -> x509.Certificate:
    """A CA's certificate that is still good; ValueError if it has ended."""
    ca = x509.load_pem_x509_certificate(certificate.encode())
    if ca.not_valid_after_utc <= datetime.now(UTC):
        raise ValueError(
            f"the stack's CA has ended on {ca.not_valid_after_utc:%Y-%m-%d}: `pulumi up --replace` its urn makes a new "
            "one, and every device must register again"
        )
    return ca


def _signed(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    end: datetime,
    below: int,
) -> x509.Certificate:
    issues_only = x509.KeyUsage(
        key_cert_sign=True,
        crl_sign=True,
        **dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"), False),
        **dict.fromkeys(("key_agreement", "encipher_only", "decipher_only"), False),
    )
    own, above = key.public_key(), signer.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(own)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - LEEWAY)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=below), critical=True)
        .add_extension(issues_only, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    kind = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*kind).decode()
