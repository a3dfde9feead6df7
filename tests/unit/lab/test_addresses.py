from pathlib import Path

import pytest

from console.errors import StepError
from lab.network import addresses


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the lab that is there was made as; there is none yet."""
    kept = tmp_path / "state" / "ip"
    monkeypatch.setattr(addresses, "KEPT", kept)
    monkeypatch.setattr(addresses, "KIND", "ipv6")
    return kept


def test_a_cluster_of_ipv6_alone_has_no_address_of_ipv4() -> None:
    alone = addresses.KINDS["ipv6"]
    assert all(":" in one for one in (*alone.nodes, *alone.pods, *alone.services))
    assert (alone.host, alone.api_services) == ("[fd10:213::1]", ("fd96::1",))


def test_what_a_cluster_is_stays(kept: Path) -> None:
    addresses.keep()
    addresses.keep()
    kept.write_text("dual")
    with pytest.raises(
        StepError, match=r"^The lab's cluster is dual, and MESHGATE_LAB_IP is ipv6: `make down` first.$"
    ):
        addresses.keep()
    assert kept.read_text() == "dual"


def test_a_kind_that_does_not_exist_is_refused(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "KIND", "ipv5")
    with pytest.raises(StepError, match=r"^MESHGATE_LAB_IP is 'ipv5'; it can be dual or ipv6.$"):
        addresses.keep()
    assert not kept.exists()
