"""The lab's own certificate authority, and the certificates and kubeconfigs of its parts.

One CA signs everything, Headscale's TLS certificate too: `ca.crt` is what a client of the lab has
to trust. Files are made once and kept; `lab up --fresh` starts from new ones.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lab.cluster import certificates
from lab.cluster.certificates import Identity

__all__ = ["Identity", "Pki", "kubeconfig"]


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
            self._save("ca", *certificates.authority())
        issuer = x509.load_pem_x509_certificate(self.ca.read_bytes())
        issuer_key = _load_key(self.key("ca"))
        for identity in identities:
            if not self._signed(identity, issuer):
                self._save(identity.name, *certificates.issue(identity, issuer, issuer_key))
        self._ensure_key_pair("service-account")

    def _signed(self, identity: Identity, issuer: x509.Certificate) -> bool:
        if not self._complete(identity.name):
            return False
        certificate = x509.load_pem_x509_certificate(self.certificate(identity.name).read_bytes())
        return certificates.matches(certificate, identity, issuer)

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
