"""An agent that does not offer WireGuard: what it starts, what it refuses, and devices of WireGuard from before."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from unittest.mock import AsyncMock

import httpx
import pytest

from gateway.agent import run
from gateway.agent.api import create_app
from gateway.agent.certified_devices import CertifiedDevices
from gateway.agent.devices import Devices
from gateway.agent.firewall import Firewall
from gateway.agent.live_settings import LiveSettings
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.wireguard import key_pair as agents_key_pair
from gateway.agent.settings_loading import SettingsError
from gateway.agent.store import Device
from gateway.agent.stores.sqlite import SqliteStore
from gateway.agent.tokens import Tokens
from infra import certificate_authority, curve25519
from tests.device_paths import device_path
from tests.unit.agent.fakes import FakeAccess, key_pair, made_issuer, unwireguarded

TOKEN = "the-operators-token"
BEFORE = Device(number=2, public_key=key_pair().public, created_at=1)
OPENVPN = {"MESHGATE_OPENVPN_LISTEN": "udp:1194", "MESHGATE_OPENVPN_ENDPOINTS": "udp:vpn.example.org:1194"}


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = unwireguarded(tmp_path, openvpn_listen="udp:1194", openvpn_endpoints="udp:vpn.example.org:1194")
    store = SqliteStore(tmp_path / "peers.sqlite")
    store.add(BEFORE)
    devices = Devices(store, Dispatch({"openvpn": FakeAccess()}), settings.client_networks, settings.public_key)
    app = create_app(lambda: settings, Tokens(f"admin {TOKEN}\n").grant, devices, CertifiedDevices(made_issuer()))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://agent", headers=headers
    ) as client:
        yield client
    store.close()


@pytest.mark.parametrize(
    "body",
    [{"public_key": key_pair().public}, {"protocol": "wireguard", "public_key": BEFORE.public_key}],
    ids=["by default, and new", "from before"],
)
async def test_wireguard_is_refused_by_its_protocol(http: httpx.AsyncClient, body: Mapping[str, str]) -> None:
    answer = await http.post("/v1/peers", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["field"], problem["detail"]) == ("protocol", "this gateway does not offer wireguard")


async def test_other_protocols_are_offered_as_ever(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})
    assert answer.status_code == 201
    assert answer.json()["server_endpoints"] == ["udp:vpn.example.org:1194"]


async def test_a_device_from_before_stays_stored_until_it_is_revoked(http: httpx.AsyncClient) -> None:
    found = (await http.get(device_path(BEFORE.public_key))).json()
    assert (found["protocol"], found["addresses"]) == ("wireguard", ["10.77.0.2/32", "fd77::2/128"])
    assert (found["server_public_key"], found["server_endpoint"]) == (None, None)
    profile = await http.get(f"{device_path(BEFORE.public_key)}/profile")
    assert profile.json()["detail"] == "this gateway does not offer wireguard any more"
    assert [one["id"] for one in (await http.get("/v1/peers")).json()["peers"]] == [BEFORE.public_key]
    assert (await http.delete(device_path(BEFORE.public_key))).status_code == 204
    assert (await http.get(device_path(BEFORE.public_key))).status_code == 404


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Of an agent that may offer anything that certificates are needed for."""
    ca = certificate_authority.make("a CA for tests")
    issuing = certificate_authority.issuing(ca, "a gateway's")
    (tmp_path / "chain").write_text(issuing.certificate + ca.certificate)
    (tmp_path / "key").write_text(issuing.key)
    for name, value in {
        "ENDPOINT": "vpn.example.org:51820",
        "CLIENT_NETWORKS": "10.77.0.0/24",
        "TOKEN_FILE": str(tmp_path / "token"),
        "STATE_DIR": str(tmp_path),
        "OPENVPN_DIR": str(tmp_path),
        "ISSUING_CERTIFICATE_FILE": str(tmp_path / "chain"),
        "ISSUING_KEY_FILE": str(tmp_path / "key"),
    }.items():
        monkeypatch.setenv(f"MESHGATE_{name}", value)
    return monkeypatch


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        (OPENVPN, {"openvpn": "openvpn"}),
        ({"MESHGATE_IPSEC_DIR": "."}, {"ipsec": "ipsec"}),
        ({"MESHGATE_IPSEC_DIR": ".", **OPENVPN}, {"openvpn": "openvpn", "ipsec": "ipsec"}),
    ],
    ids=["openvpn", "ipsec", "both"],
)
async def test_only_what_is_offered_is_started(
    environment: pytest.MonkeyPatch, given: Mapping[str, str], parts: Mapping[str, str]
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    live = LiveSettings()
    protocols, certified = await run._offered(live, Firewall(live()))
    assert {name: protocol.part for name, protocol in protocols.items()} == parts
    assert certified is not None


async def test_the_key_pair_is_judged_where_wireguard_is_offered(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By what `wg` answers, which tests/contract/test_wireguard.py shows."""
    environment.setattr(agents_key_pair, "public_key_of", AsyncMock(side_effect=curve25519.public_key))
    pair = key_pair()
    (tmp_path / "private-key").write_text(pair.private)
    for name, value in (
        ("LISTEN_PORT", "51820"),
        ("PRIVATE_KEY_FILE", str(tmp_path / "private-key")),
        ("PUBLIC_KEY", pair.public),
    ):
        environment.setenv(f"MESHGATE_{name}", value)
    live = LiveSettings()
    protocols, certified = await run._offered(live, Firewall(live()))
    assert {name: protocol.part for name, protocol in protocols.items()} == {"wireguard": "interface"}
    assert certified is None
    environment.setenv("MESHGATE_PUBLIC_KEY", key_pair().public)
    live = LiveSettings()
    with pytest.raises(SettingsError, match="is declared, but the private key in"):
        await run._offered(live, Firewall(live()))
