"""The lab's own certificate authority, and the certificates and kubeconfigs of its parts.

One CA signs everything, Headscale's TLS certificate too: `ca.crt` is what a client of the lab has
to trust. Files are made once and kept; `lab up --fresh` starts from new ones.
"""

import datetime
import ipaddress
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = datetime.timedelta(days=3650)
"""A lab lives for hours or weeks: nothing here is ever renewed."""

CLOCK_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True)
class Identity:
    """What one certificate says: `name` is its file name, the rest as in X.509.

    Kubernetes reads `common_name` as the user and `organization` as the group. With `hosts` (DNS
    names and IP addresses) the certificate is good for a server, and always for a client.
    """

    name: str
    common_name: str
    organization: str | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pki:
    """A directory of `<name>.crt` and `<name>.key` (PEM), all signed by `ca.crt`."""

    directory: Path

    @property
    def ca(self) -> Path:
        """The CA's certificate."""
        return self.certificate("ca")

    def certificate(self, name: str) -> Path:
        """Return the path of a certificate."""
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        """Return the path of a private key (mode 0600)."""
        return self.directory / f"{name}.key"

    def ensure(self, identities: Sequence[Identity]) -> None:
        """Make the CA and every certificate that is not there yet, or that another CA signed."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._complete("ca"):
            self._save("ca", *_authority())
        issuer = x509.load_pem_x509_certificate(self.ca.read_bytes())
        issuer_key = _load_key(self.key("ca"))
        for identity in identities:
            if not self._signed(identity, issuer):
                self._save(identity.name, *_certificate(identity, issuer, issuer_key))
        self._ensure_key_pair("service-account")

    def _signed(self, identity: Identity, issuer: x509.Certificate) -> bool:
        if not self._complete(identity.name):
            return False
        certificate = x509.load_pem_x509_certificate(self.certificate(identity.name).read_bytes())
        same_key = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        return (
            same_key == _authority_identifier(issuer)
            and certificate.subject == _subject(identity)
            and _hosts(certificate) == list(identity.hosts)
        )

    def _ensure_key_pair(self, name: str) -> None:
        """Make the key pair that service account tokens are signed with: PEM, `.key` and `.pub`."""
        public = self.directory / f"{name}.pub"
        if public.exists() and self.key(name).exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        _write(self.key(name), _key_pem(key))
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )

    def _complete(self, name: str) -> bool:
        """Say whether both files exist; the certificate is written last."""
        return self.key(name).exists() and self.certificate(name).exists()

    def _save(self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate(name).unlink(missing_ok=True)
        _write(self.key(name), _key_pem(key))
        _write(self.certificate(name), certificate.public_bytes(serialization.Encoding.PEM))


def kubeconfig(pki: Pki, name: str, server: str) -> str:
    """Return the kubeconfig (JSON, which is YAML) by which `name` speaks to the API at `server`."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": _data(pki.ca)}}],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _data(pki.certificate(name)),
                        "client-key-data": _data(pki.key(name)),
                    },
                }
            ],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        },
        indent=2,
    )


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(Identity("ca", "Meshgate lab CA"))
    certificate = (
        _builder(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _certificate(
    identity: Identity, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if identity.hosts:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
    builder = (
        _builder(_subject(identity), issuer.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(_authority_identifier(issuer), critical=False)
    )
    if identity.hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in identity.hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256()), key


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + VALIDITY)
    )


def _subject(identity: Identity) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)]
    if identity.organization:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organization))
    return x509.Name(attributes)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{path} holds a {type(key).__name__}, an EC key was expected")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.touch(mode=0o600)
    path.write_bytes(content)


def _data(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
