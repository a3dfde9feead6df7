import ssl
from base64 import b64decode
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from lab.cluster.pki import Pki, Subject, kubeconfig

SERVER = Subject("server", "a server", hosts=("10.213.0.1", "fd10:213::1", "api.example"))
ADMIN = Subject("admin", "somebody", "system:masters")


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    pki = Pki(tmp_path / "pki")
    pki.ensure([SERVER, ADMIN])
    return pki


def handshake(pki: Pki, host: str, ca: Path) -> dict[str, object]:
    """A whole TLS handshake in memory, with client certificates; the server's view of the client."""
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki.ca))
    server_context.load_cert_chain(pki.certificate("server"), pki.key("server"))
    server_context.verify_mode = ssl.CERT_REQUIRED
    client_context = ssl.create_default_context(cafile=str(ca))
    client_context.load_cert_chain(pki.certificate("admin"), pki.key("admin"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=host)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
    peer = server.getpeercert()
    assert peer is not None
    return dict(pair for entry in peer["subject"] for pair in entry)  # type: ignore[misc]


@pytest.mark.parametrize("host", SERVER.hosts)
def test_the_chain_holds_in_a_real_handshake_and_names_the_client(pki: Pki, host: str) -> None:
    subject = handshake(pki, host, pki.ca)
    assert (subject["commonName"], subject["organizationName"]) == ("somebody", "system:masters")


def test_a_client_without_hosts_has_a_name_as_go_trusts_no_certificate_without(pki: Pki) -> None:
    admin = x509.load_pem_x509_certificate(pki.certificate("admin").read_bytes())
    assert list(admin.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == [x509.DNSName("admin")]


def test_another_host_and_another_ca_are_refused(pki: Pki, tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        handshake(pki, "10.213.0.2", pki.ca)
    other = Pki(tmp_path / "other")
    other.ensure([SERVER])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pki, "10.213.0.1", other.ca)


def test_what_is_there_is_kept(pki: Pki) -> None:
    before = {file.name: file.read_bytes() for file in pki.directory.iterdir()}
    pki.ensure([SERVER, ADMIN])
    assert {file.name: file.read_bytes() for file in pki.directory.iterdir()} == before


def test_a_changed_subject_and_a_new_ca_make_new_certificates(pki: Pki) -> None:
    server, admin = pki.certificate("server").read_bytes(), pki.certificate("admin").read_bytes()
    pki.ensure([Subject("server", "a server", hosts=("10.213.0.9",)), ADMIN])
    assert pki.certificate("server").read_bytes() != server
    assert pki.certificate("admin").read_bytes() == admin
    pki.ca.unlink()
    pki.ensure([SERVER, ADMIN])
    assert pki.certificate("admin").read_bytes() != admin
    handshake(pki, "10.213.0.1", pki.ca)


def test_a_run_that_died_between_key_and_certificate_is_repaired(pki: Pki) -> None:
    pki.certificate("server").unlink()
    pki.ensure([SERVER, ADMIN])
    handshake(pki, "10.213.0.1", pki.ca)


def test_private_keys_are_their_owners_alone(pki: Pki) -> None:
    assert {file.stat().st_mode & 0o777 for file in pki.directory.glob("*.key")} == {0o600}
    assert pki.directory.stat().st_mode & 0o777 == 0o700


def test_the_kubeconfig_holds_the_certificates(pki: Pki) -> None:
    config = yaml.safe_load(kubeconfig(pki, "admin", "https://10.213.0.1:6443"))
    assert config["current-context"] == config["contexts"][0]["name"]
    assert config["clusters"][0]["cluster"]["server"] == "https://10.213.0.1:6443"
    user = config["users"][0]["user"]
    assert b64decode(user["client-certificate-data"]) == pki.certificate("admin").read_bytes()
    assert b64decode(user["client-key-data"]) == pki.key("admin").read_bytes()
