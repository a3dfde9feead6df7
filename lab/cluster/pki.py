"""The lab's own certificate authority, and the certificates and kubeconfigs of its parts.

One CA signs everything, Headscale's TLS certificate too: a client of the lab has to trust `ca.crt`.
Files are made once and kept; `lab up --fresh` starts from new ones.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

__all__ = ["Pki", "Subject", "kubeconfig"]

ORGANIZATION = "Meshgate lab"


@dataclass(frozen=True)
class Subject:
    """What one certificate says: `name` is its file name, the rest as in X.509.

    Kubernetes reads `common_name` as the user and `organization` as the group; it gives no right to
    the default one. A server is found under its `hosts`: DNS names and IP addresses.
    """

    name: str
    common_name: str
    organization: str = ORGANIZATION
    hosts: tuple[str, ...] = ()

    @property
    def alternative_names(self) -> tuple[str, ...]:
        """The certificate's names; Go trusts none without, not even a client's."""
        return self.hosts or (self.name,)

    def issue(self, ca: trustme.CA) -> trustme.LeafCert:
        """Make a certificate and its key."""
        return ca.issue_cert(
            *self.alternative_names,
            common_name=self.common_name,
            organization_name=self.organization,
            organization_unit_name=self.name,
        )

    def matches(self, certificate: x509.Certificate) -> bool:
        """Say whether a certificate is what `issue` makes."""
        said = {attribute.rfc4514_attribute_name: attribute.value for attribute in certificate.subject}
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return (
            said == {"O": self.organization, "OU": self.name, "CN": self.common_name}
            and tuple(str(name.value) for name in names) == self.alternative_names
        )


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

    def ensure(self, subjects: Sequence[Subject]) -> None:
        """Make the CA and every certificate that is not there yet, or that another CA signed."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._complete("ca"):
            made = trustme.CA(organization_name=ORGANIZATION)
            self._save("ca", made.cert_pem, made.private_key_pem)
        ca = trustme.CA.from_pem(self.ca.read_bytes(), self.key("ca").read_bytes())
        for subject in subjects:
            if not self._holds(subject):
                leaf = subject.issue(ca)
                self._save(subject.name, leaf.cert_chain_pems[0], leaf.private_key_pem)

    def _holds(self, subject: Subject) -> bool:
        if not self._complete(subject.name):
            return False
        certificate = self._read(subject.name)
        try:
            certificate.verify_directly_issued_by(self._read("ca"))
        except (ValueError, InvalidSignature):  # the issuer has another name, or another key
            return False
        return subject.matches(certificate)

    def _read(self, name: str) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate(name).read_bytes())

    def _complete(self, name: str) -> bool:
        """Say whether both files exist; the certificate is written last."""
        return self.key(name).exists() and self.certificate(name).exists()

    def _save(self, name: str, certificate: trustme.Blob, key: trustme.Blob) -> None:
        self.certificate(name).unlink(missing_ok=True)
        # Only its owner can read it, from its first byte on.
        self.key(name).touch(mode=0o600)
        key.write_to_path(self.key(name))
        certificate.write_to_path(self.certificate(name))


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


def _data(path: Path) -> str:
    return b64encode(path.read_bytes()).decode()
