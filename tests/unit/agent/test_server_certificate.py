"""A server's certificate on the disk."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.agent import certificates
from gateway.agent.server_certificate import kept
from infra import certificate_authority
from tests.unit.agent.fakes import made_issuer


def test_it_is_for_its_owner_alone_and_stays_as_long_as_it_is_good(tmp_path: Path) -> None:
    issuer = made_issuer()
    first, validity = kept(issuer, tmp_path, "vpn.example.org")
    assert kept(issuer, tmp_path, "vpn.example.org") == (first, validity)
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not issuer.is_due(validity)
    assert first.key.startswith("-----BEGIN PRIVATE KEY-----")


@pytest.mark.parametrize(
    "why", ["another issuer", "another name", "it ends soon", "the clock was ahead", "it is cut off"]
)
def test_it_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    issuer = made_issuer()
    with monkeypatch.context() as then:
        if why == "it ends soon":
            then.setattr(certificates, "SERVERS", timedelta(days=59))
        if why == "the clock was ahead":
            then.setattr(certificates, "LEEWAY", -timedelta(days=1))  # good from tomorrow on
        first = issuer.for_server("vpn.example.org")
    (tmp_path / "server.pem").write_text(first.chain + first.key)
    if why == "it is cut off":
        (tmp_path / "server.pem").write_text(first.chain[:100])
    other = made_issuer() if why == "another issuer" else issuer
    name = "192.0.2.1" if why == "another name" else "vpn.example.org"
    second, validity = kept(other, tmp_path, name)
    assert second != first
    assert validity.begin < datetime.now(UTC)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("vpn.example.org", x509.DNSName), ("192.0.2.1", x509.IPAddress), ("2001:db8::1", x509.IPAddress)],
)
def test_clients_find_the_name_or_the_address_that_they_dial(
    tmp_path: Path, name: str, kind: type[x509.GeneralName]
) -> None:
    made, _ = kept(made_issuer(), tmp_path, name)
    leaf = x509.load_pem_x509_certificates(made.chain.encode())[0]
    (said,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert isinstance(said, kind)
    assert str(said.value) == name


def test_one_that_ends_with_its_issuer_is_not_made_anew_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate_authority, "VALID_FOR", timedelta(days=30))
    issuer = made_issuer()
    first = kept(issuer, tmp_path, "vpn.example.org")
    assert kept(issuer, tmp_path, "vpn.example.org") == first
