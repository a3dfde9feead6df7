"""What the agent tells OpenVPN's server in a file, and when it tells it anew."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.agent import certificates
from gateway.agent.protocols.openvpn import TOLD
from gateway.agent.protocols.openvpn.server_files import renew
from tests.unit.agent.fakes import made_issuer


def test_the_file_is_for_its_owner_alone_and_whole(tmp_path: Path) -> None:
    renew(made_issuer(), tmp_path, 1280)
    (file,) = tmp_path.iterdir()
    assert (file.name, stat.S_IMODE(file.stat().st_mode)) == (TOLD, 0o600)
    text = file.read_text()
    assert [text.count(f"<{block}>") for block in ("ca", "cert", "key", "tls-crypt-v2")] == [1, 1, 1, 1]
    assert "tun-mtu 1280\n" in text


def test_it_stays_as_long_as_it_is_good(tmp_path: Path) -> None:
    issuer = made_issuer()
    renew(issuer, tmp_path, 1280)
    before = (tmp_path / TOLD).read_text()
    renew(issuer, tmp_path, 1280)
    assert (tmp_path / TOLD).read_text() == before


@pytest.mark.parametrize(
    "why", ["another issuer", "another MTU", "it ends soon", "the clock was ahead", "it is cut off"]
)
def test_it_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    issuer = made_issuer()
    with monkeypatch.context() as then:
        if why == "it ends soon":
            then.setattr(certificates, "SERVERS", timedelta(days=59))
        if why == "the clock was ahead":
            then.setattr(certificates, "LEEWAY", -timedelta(days=1))  # good from tomorrow on
        renew(issuer, tmp_path, 1280)
    file = tmp_path / TOLD
    if why == "it is cut off":
        file.write_text(file.read_text()[:-100])
    before = file.read_text()
    renew(made_issuer() if why == "another issuer" else issuer, tmp_path, 1400 if why == "another MTU" else 1280)
    assert file.read_text() != before
    assert list(tmp_path.iterdir()) == [file]
