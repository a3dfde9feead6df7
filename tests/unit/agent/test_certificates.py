"""Certificates: who issues what, for how long, and which requests are taken."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.x509.oid import NameOID

from gateway.agent import certificate_requests, server_certificate
from gateway.agent.certificates import Issuer, certified, common_name, device_id, device_named, load_issuer, new_key
from gateway.agent.protocols.ipsec.access import IpSec
from gateway.agent.protocols.openvpn import server_files
from gateway.agent.protocols.openvpn.access import OpenVpn
from gateway.agent.settings_loading import SettingsError
from infra import certificate_authority
from tests.unit.agent.fakes import agent_settings, ended, made_issuer
from tests.unit.docs.commands import bash, console

NOW = int(datetime.now(UTC).timestamp())


def request(key: CertificateIssuerPrivateKeyTypes, name: str | None = None, alternative: str | None = None) -> str:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if alternative:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), critical=False)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(serialization.Encoding.PEM).decode()


def test_a_devices_certificate_is_good_for_its_key_and_its_time() -> None:
    issuer, key = made_issuer(), certified(new_key())
    chain = issuer.for_device(key, NOW, NOW + 600)
    leaf, issuing = x509.load_pem_x509_certificates(chain.encode())
    assert certified_by(leaf) == key
    assert leaf.subject.rfc4514_string() == f"CN={common_name(device_id(key))}"
    assert leaf.not_valid_after_utc.timestamp() == NOW + 600
    root = x509.load_pem_x509_certificate(issuer.ca.encode())
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)


def test_a_device_of_a_clock_that_was_ahead_gets_a_certificate_that_is_good_now() -> None:
    chain = made_issuer().for_device(certified(new_key()), NOW + 365 * 86400, None)
    leaf = x509.load_pem_x509_certificates(chain.encode())[0]
    assert leaf.not_valid_before_utc <= datetime.now(UTC) < leaf.not_valid_after_utc


def certified_by(certificate: x509.Certificate) -> bytes:
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form)


def test_nothing_outlives_the_issuer() -> None:
    issuer = made_issuer()
    chain = issuer.for_device(certified(new_key()), NOW, NOW + int(timedelta(days=40 * 365).total_seconds()))
    assert x509.load_pem_x509_certificates(chain.encode())[0].not_valid_after_utc == issuer.expires_at


def test_a_name_leads_back_to_the_device() -> None:
    for _ in range(50):  # each of the characters that base64 has and names have not
        device = device_id(certified(new_key()))
        name = common_name(device)
        assert len(name) == 43
        assert set(name).isdisjoint("+/= ")
        assert device_named(name) == device


def test_a_servers_certificate_is_known_again() -> None:
    issuer = made_issuer()
    made = issuer.for_server("gateway")
    validity = issuer.issued(made.chain, "gateway")
    assert validity is not None
    assert validity.begin < datetime.now(UTC)
    assert timedelta(days=364) < validity.end - datetime.now(UTC) < timedelta(days=366)
    assert made_issuer().issued(made.chain, "gateway") is None
    assert issuer.issued(made.chain, "another") is None
    assert issuer.issued("", "gateway") is None


def test_what_does_not_belong_together_is_no_issuer(tmp_path: Path) -> None:
    ca, other = certificate_authority.make("one"), certificate_authority.make("another")
    issuing = certificate_authority.issuing(ca, "gateway")
    files = {"issuing_certificate_file": tmp_path / "chain", "issuing_key_file": tmp_path / "key"}
    settings = agent_settings(**files)
    for chain, key in (
        (issuing.certificate + other.certificate, issuing.key),
        (issuing.certificate + ca.certificate, ca.key),
        (issuing.certificate, issuing.key),
        (issuing.certificate + ca.certificate, "no key"),
        ("nothing", issuing.key),
    ):
        (tmp_path / "chain").write_text(chain)
        (tmp_path / "key").write_text(key)
        with pytest.raises(
            SettingsError, match=r"^MESHGATE_ISSUING_CERTIFICATE_FILE: .*are not an issuing certificate"
        ):
            load_issuer(settings)
    (tmp_path / "chain").write_text(issuing.certificate + ca.certificate)
    (tmp_path / "key").write_text(issuing.key)
    assert isinstance(load_issuer(settings), Issuer)
    with pytest.raises(SettingsError, match="are not set"):
        load_issuer(agent_settings())


def test_a_request_gives_its_key_and_no_name() -> None:
    for key in (new_key(), ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        public = key.public_key().public_bytes(*form)
        assert certificate_requests.read(request(key)) == public
        assert certificate_requests.read(request(key, "phone"), "phone") == public


def test_requests_that_cannot_be_used_are_told_why() -> None:
    good = request(new_key())
    body = good.splitlines()
    tampered = "\n".join(
        [*body[:-2], body[-2][:-8] + ("AAAA" if body[-2][-8:-4] != "AAAA" else "BBBB") + body[-2][-4:], body[-1]]
    )
    for text, why in (
        ("", "not a certificate request in PEM"),
        ("é" * 100_000, "not a certificate request in PEM"),
        (made_issuer().ca, "not a certificate request in PEM"),
        (request(rsa.generate_private_key(65537, 1024)), "too weak"),  # noqa: S505 - on purpose
        (request(ec.generate_private_key(ec.SECP256K1())), "of another kind"),
        (request(ed25519.Ed25519PrivateKey.generate()), "of another kind"),
        (request(new_key(), "somebody else"), "a name of its own choice"),
        (request(new_key(), alternative="gateway.example.org"), "alternative names"),
        (tampered, "signature is wrong|not a certificate request"),
    ):
        with pytest.raises(ValueError, match=why):
            certificate_requests.read(text, "phone")


def test_an_ended_ca_issues_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_authority, "VALID_FOR", timedelta(seconds=-1))
    with pytest.raises(ValueError, match="the stack's CA has ended"):
        certificate_authority.issuing(certificate_authority.make("old"), "gateway")


def test_an_issuer_that_has_ended_says_so_and_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The agent goes on, with its servers as they are: devices of WireGuard need no certificate."""
    issuer = Issuer(*ended(monkeypatch))
    (problem,) = issuer.problems
    assert problem.startswith(f"the gateway's issuing certificate has ended on {issuer.expires_at:%Y-%m-%d}: ")
    assert made_issuer().problems == []
    server_files.renew(issuer, tmp_path, 1280)
    credentials, validity = server_certificate.kept(issuer, tmp_path, "vpn.example.org")
    assert validity.end == issuer.expires_at
    assert server_certificate.kept(issuer, tmp_path, "vpn.example.org") == (credentials, validity)
    leaf = x509.load_pem_x509_certificates(issuer.for_device(certified(new_key()), NOW, None).encode())[0]
    assert leaf.not_valid_before_utc < leaf.not_valid_after_utc == issuer.expires_at


@pytest.mark.parametrize("way", ["openvpn", "ipsec"])
async def test_that_an_issuer_has_ended_is_said_by_readiness(
    way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    issuer = Issuer(*ended(monkeypatch))
    settings = agent_settings(
        tmp_path,
        openvpn_dir=tmp_path,
        openvpn_listen="udp:1194",
        openvpn_endpoints="udp:vpn.example.org:1194",
        ipsec_dir=tmp_path,
        issuing_certificate_file=tmp_path / "chain",
        issuing_key_file=tmp_path / "key",
    )
    access = OpenVpn(lambda: settings, issuer) if way == "openvpn" else IpSec(lambda: settings, issuer)
    assert issuer.problems[0] in await access.problems()


def test_the_pages_commands_make_an_issuer(tmp_path: Path) -> None:
    bash("\n".join(console("docs/openvpn.md", "Without a stack")), tmp_path, os.environ)
    issuer = Issuer((tmp_path / "issuing-chain.crt").read_text(), (tmp_path / "issuing.key").read_text())
    assert issuer.ca == (tmp_path / "ca.crt").read_text()
    key = new_key()
    chain = issuer.for_device(certified(key), NOW, None)
    assert issuer.issued(chain, common_name(device_id(certified(key))))


def test_the_pages_command_makes_a_request_that_is_taken(tmp_path: Path) -> None:
    (command,) = console("docs/openvpn.md", "A device")
    bash(command, tmp_path, os.environ)
    key = serialization.load_pem_private_key((tmp_path / "device.key").read_bytes(), None)
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    request_text = (tmp_path / "device.csr").read_text()
    assert certificate_requests.read(request_text) == key.public_key().public_bytes(*form)
