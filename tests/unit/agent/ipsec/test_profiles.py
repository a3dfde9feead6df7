"""What stock IPsec clients are given. Those of other systems than Linux cannot be run here: their files are read."""

import base64
import json
import plistlib
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from gateway.agent.certificates import Issuer, certified, common_name, device_id, new_key, pem
from gateway.agent.protocols.ipsec.profiles import android, apple, swanctl, windows
from gateway.agent.protocols.ipsec.profiles.identity import Identity
from gateway.agent.settings import AgentSettings
from tests.unit.agent.fakes import agent_settings, made_issuer

Write = Callable[[Identity, AgentSettings], str]
HOST = "vpn.example.org"
SETTINGS = agent_settings()


def identity(*, with_key: bool = True, key: ec.EllipticCurvePrivateKey | None = None) -> Identity:
    key = key or new_key()
    return described(made_issuer(), certified(key), pem(key) if with_key else None)


def described(issuer: Issuer, public: bytes, private: str | None) -> Identity:
    chain = issuer.for_device(public, 1_700_000_000, None)
    return Identity(common_name(device_id(public)), HOST, issuer.ca, chain, private)


def opened(bundle: bytes, password: str) -> tuple[Any, x509.Certificate | None, list[x509.Certificate]]:
    return pkcs12.load_key_and_certificates(bundle, password.encode())


def test_apples_profile_has_identity_authority_and_connection() -> None:
    mine = identity()
    whole = plistlib.loads(apple.profile(mine, SETTINGS).encode())
    root, own, vpn = whole["PayloadContent"]
    assert root["PayloadContent"] == mine.ca_der
    key, certificate, others = opened(own["PayloadContent"], own["Password"])
    assert certificate is not None
    assert key.public_key() == certificate.public_key()
    assert [certificate, *others] == mine.certificates
    told = vpn["IKEv2"]
    assert told["PayloadCertificateUUID"] == own["PayloadUUID"]
    assert (told["RemoteAddress"], told["RemoteIdentifier"], told["LocalIdentifier"]) == (HOST, HOST, mine.name)
    assert told["CertificateType"] == "ECDSA256"
    assert told["MTU"] == 1280
    uuids = [whole["PayloadUUID"], *(payload["PayloadUUID"] for payload in whole["PayloadContent"])]
    assert len(set(uuids)) == 4


def test_androids_profile_has_identity_authority_and_connection() -> None:
    mine = identity()
    profile = json.loads(android.profile(mine, SETTINGS))
    assert profile["type"] == "ikev2-cert"
    assert base64.b64decode(profile["remote"]["cert"]) == mine.ca_der
    assert (profile["remote"]["addr"], profile["remote"]["id"], profile["local"]["id"]) == (HOST, HOST, mine.name)
    _, certificate, _ = opened(base64.b64decode(profile["local"]["p12"]), android.PASSWORD)
    assert certificate == mine.certificates[0]
    assert json.loads(android.profile(mine, SETTINGS))["uuid"] == profile["uuid"], "a second import replaces the first"
    assert "p12" not in json.loads(android.profile(identity(with_key=False), SETTINGS))["local"]


def test_windows_script_has_identity_authority_and_connection() -> None:
    mine = identity()
    script = windows.profile(mine, SETTINGS)
    ca, bundle = (part.partition("'")[0] for part in script.split("Import-Bytes '")[1:])
    assert base64.b64decode(ca) == mine.ca_der
    password = script.partition("ConvertTo-SecureString '")[2].partition("'")[0]
    _, certificate, _ = opened(base64.b64decode(bundle), password)
    assert certificate == mine.certificates[0]
    assert f"-ServerAddress '{HOST}' -TunnelType Ikev2" in script
    assert "have to be in Cert:" in windows.profile(identity(with_key=False), SETTINGS)


def test_an_rsa_key_of_the_devices_own_is_told_as_such() -> None:
    public = rsa.generate_private_key(65537, 2048).public_key()
    issuer = made_issuer()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert described(issuer, der, None).is_rsa
    assert not identity().is_rsa


def test_the_linux_script_writes_what_swanctl_reads_for_its_owner_alone(tmp_path: Path) -> None:
    mine = identity()
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "swanctl").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    (tools / "swanctl").chmod(0o700)
    for name in ("conf.d", "private", "x509", "x509ca", "settings"):
        (tmp_path / name).mkdir()
    environment = {
        "PATH": f"{tools}:/usr/bin:/bin",
        "SWANCTL_DIR": str(tmp_path),
        "STRONGSWAN_DIR": str(tmp_path / "settings"),
    }
    subprocess.run(["sh", "-c", swanctl.profile(mine, SETTINGS)], env=environment, check=True)
    assert (tmp_path / "called").read_text().splitlines() == ["--reload-settings", "--load-all"]
    assert (tmp_path / "private/meshgate.pem").read_text() == mine.private_key
    assert (tmp_path / "private/meshgate.pem").stat().st_mode & 0o077 == 0
    own = (tmp_path / "x509/meshgate.pem").read_text()
    issuing = (tmp_path / "x509ca/meshgate-issuing.pem").read_text()
    assert own + issuing == mine.chain
    assert (tmp_path / "x509ca/meshgate-ca.pem").read_text() == mine.ca
    assert f"id = fqdn:{mine.name}" in (tmp_path / "conf.d/meshgate.conf").read_text()


@pytest.mark.parametrize("write", [android.profile, swanctl.profile, windows.profile])
def test_no_key_is_in_the_profile_of_who_has_its_own(write: Write) -> None:
    key = new_key()
    assert pem(key).splitlines()[1] not in write(identity(with_key=False, key=key), SETTINGS)
    with pytest.raises(ValueError, match="make_key"):
        apple.profile(identity(with_key=False), SETTINGS)
