"""Devices with certificates at the API: what they send, what they get, and that their keys are nowhere else."""

import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from gateway.agent.api import create_app
from gateway.agent.certificates import Issuer, certified, device_id, new_key
from gateway.agent.certified_devices import CertifiedDevices
from gateway.agent.devices import Devices
from gateway.agent.protocol import AccessControl
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.stores.sqlite import SqliteStore
from gateway.agent.tokens import Tokens
from tests.device_paths import device_path
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, agent_settings, ended, key_pair, made_issuer
from tests.unit.agent.test_certificates import request

ROOT = Path(__file__).parents[3]
TOKEN, READER = "the-operators-token", "a-token-of-a-reader"
ENDPOINTS = "udp:vpn.example.org:31194,tcp:[2001:db8::1]:443"


@pytest.fixture
def issuer() -> Issuer:
    return made_issuer()


@pytest.fixture
async def http(tmp_path: Path, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    settings = agent_settings(
        tmp_path,
        openvpn_listen="udp:1194,tcp:1195",
        openvpn_endpoints=ENDPOINTS,
        ipsec_dir=tmp_path,
        issuing_certificate_file=tmp_path / "chain",
        issuing_key_file=tmp_path / "key",
    )
    store = SqliteStore(tmp_path / "peers.sqlite")
    both: AccessControl = Dispatch({"wireguard": FakeAccess(), "openvpn": FakeAccess(), "ipsec": FakeAccess()})
    devices = Devices(store, both, settings.client_networks, SERVER_KEY)
    tokens = Tokens(f"admin {TOKEN}\nread {READER}\n")
    app = create_app(lambda: settings, tokens.grant, devices, CertifiedDevices(issuer))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://agent", headers=headers
    ) as client:
        yield client
    store.close()


def stored(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.glob("peers.sqlite*"))


async def test_a_request_is_answered_with_all_that_its_device_needs(http: httpx.AsyncClient, issuer: Issuer) -> None:
    key = new_key()
    body = {"protocol": "openvpn", "certificate_request": request(key, "phone"), "name": "phone", "ttl_seconds": 600}
    answer = await http.post("/v1/peers", json=body)
    assert answer.status_code == 201
    device = answer.json()
    leaf, issuing = x509.load_pem_x509_certificates(device.pop("certificate").encode())
    leaf.verify_directly_issued_by(issuing)
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 600 + 3600
    profile = device.pop("profile")
    assert "# Put the device's private key here" in profile
    for line in (
        "remote vpn.example.org 31194 udp",
        "remote 2001:db8::1 443 tcp",
        "verify-x509-name gateway name",
        "-----BEGIN OpenVPN tls-crypt-v2 client key-----",
    ):
        assert line in profile.splitlines()
    assert profile.index("31194 udp") < profile.index("443 tcp")
    for moment in ("created_at", "expires_at"):
        device.pop(moment)
    assert device == {
        "protocol": "openvpn",
        "id": device_id(certified(key)),
        "name": "phone",
        "addresses": ["10.77.0.2/32", "fd77::2/128"],
        "allowed_ips": ["0.0.0.0/0", "::/0"],
        "dns": ["100.100.100.100"],
        "mtu": 1280,
        "last_endpoint": None,
        "last_handshake_at": None,
        "server_endpoints": ENDPOINTS.split(","),
        "ca_certificate": issuer.ca,
        "private_key": None,
    }
    again = await http.post("/v1/peers", json=body)
    assert (again.status_code, again.json()["id"]) == (200, device["id"])


async def test_a_key_that_the_gateway_makes_is_said_once(
    http: httpx.AsyncClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = (await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})).json()
    key = serialization.load_pem_private_key(made["private_key"].encode(), None)
    leaf = x509.load_pem_x509_certificates(made["certificate"].encode())[0]
    assert leaf.public_key() == key.public_key()
    assert made["private_key"] in made["profile"]
    path = device_path(made["id"])
    for there in (path, f"{path}/profile", "/v1/peers"):
        answer = await http.get(there)
        assert answer.status_code == 200
        assert "PRIVATE KEY" not in answer.text
    own_key = "<tls-crypt-v2>" + made["profile"].partition("<tls-crypt-v2>")[2]
    assert own_key in (await http.get(f"{path}/profile")).text
    assert b"PRIVATE KEY" not in stored(tmp_path)
    logged = str([vars(record) for record in caplog.records])
    assert "registered" in logged
    assert not [secret for secret in (made["private_key"], own_key) if secret.splitlines()[2] in logged]
    assert (await http.delete(path)).status_code == 204
    assert (await http.get(path)).status_code == 404


async def test_a_profile_is_for_those_who_register(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})).json()
    path = f"{device_path(made['id'])}/profile"
    assert (await http.get(path, headers={"Authorization": f"Bearer {READER}"})).status_code == 403
    assert (await http.get(f"{path}?format=exe")).json()["field"] == "format"


@pytest.mark.parametrize("wanted", ["swanctl", "mobileconfig", "sswan", "powershell"])
async def test_a_device_by_ipsec_gets_the_profile_that_it_asks_for(http: httpx.AsyncClient, wanted: str) -> None:
    body = {"protocol": "ipsec", "make_key": True, "profile_format": wanted}
    made = (await http.post("/v1/peers", json=body)).json()
    assert made["server_endpoints"] == ["udp:vpn.example.org:500", "udp:vpn.example.org:4500"]
    assert "vpn.example.org" in made["profile"]
    again = await http.get(f"{device_path(made['id'])}/profile?format={wanted}")
    if wanted == "mobileconfig":
        assert (again.status_code, again.json()["field"]) == (422, "format")
        assert "have it made (make_key)" in again.json()["detail"]
    else:
        assert again.status_code == 200


async def test_a_profile_that_cannot_be_is_refused_before_anything_is_kept(http: httpx.AsyncClient) -> None:
    body = {"protocol": "ipsec", "certificate_request": request(new_key()), "profile_format": "mobileconfig"}
    answer = await http.post("/v1/peers", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, "profile_format")
    assert (await http.get("/v1/peers")).json()["peers"] == []


async def test_one_list_has_devices_of_every_protocol(http: httpx.AsyncClient) -> None:
    key = key_pair().public
    assert (await http.post("/v1/peers", json={"public_key": key})).status_code == 201
    await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})
    listed = (await http.get("/v1/peers")).json()["peers"]
    assert [one["protocol"] for one in listed] == ["wireguard", "openvpn"]
    assert [one["addresses"][0] for one in listed] == ["10.77.0.2/32", "10.77.0.3/32"]
    assert "certificate" not in listed[1]


async def test_a_wireguard_devices_profile_is_what_wg_quick_reads(http: httpx.AsyncClient) -> None:
    key = key_pair().public
    await http.post("/v1/peers", json={"public_key": key, "preshared_key": key_pair().private})
    path = f"{device_path(key)}/profile"
    assert (await http.get(path)).text.splitlines() == [
        "[Interface]",
        "# PrivateKey = the device's own",
        "Address = 10.77.0.2/32, fd77::2/128",
        "DNS = 100.100.100.100",
        "MTU = 1280",
        "",
        "[Peer]",
        "# PresharedKey = the one that the device was registered with",
        f"PublicKey = {SERVER_KEY}",
        "Endpoint = vpn.example.org:51820",
        "AllowedIPs = 0.0.0.0/0, ::/0",
        "PersistentKeepalive = 25",
    ]
    refused = await http.get(f"{path}?format=ovpn")
    assert (refused.status_code, refused.json()["field"]) == (422, "format")


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({"protocol": "pptp"}, "protocol", "wireguard"),
        ({"protocol": "openvpn"}, "certificate_request", "or make_key: true"),
        ({"protocol": "openvpn", "make_key": True, "certificate_request": "x"}, "certificate_request", "make_key"),
        ({"protocol": "openvpn", "certificate_request": "x"}, "certificate_request", "not a certificate request"),
        ({"protocol": "openvpn", "make_key": True, "public_key": "x"}, "public_key", "not permitted"),
        ({"protocol": "openvpn", "make_key": True, "ttl_seconds": 0}, "ttl_seconds", "greater than"),
        ({"protocol": 7, "make_key": True}, "protocol", "wireguard"),
        ({"protocol": "openvpn", "make_key": True, "profile_format": "sswan"}, "profile_format", "openvpn has ovpn"),
        ({"protocol": "ipsec", "make_key": True, "profile_format": "exe"}, "profile_format", "swanctl"),
    ],
)
async def test_bad_input_names_its_field(
    http: httpx.AsyncClient, body: dict[str, object], field: str, sentence: str
) -> None:
    answer = await http.post("/v1/peers", json=body)
    assert answer.status_code == 422
    problem = answer.json()
    assert field in [problem["field"], *(one["field"] for one in problem.get("errors", ()))]
    assert sentence in problem["detail"]


async def test_an_issuer_that_has_ended_lets_nobody_new_in(
    http: httpx.AsyncClient, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})).json()
    vars(issuer).update(vars(Issuer(*ended(monkeypatch))))
    answer = await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})
    assert answer.status_code == 503
    assert answer.json()["detail"].startswith("the gateway's issuing certificate has ended on 20")
    assert (await http.get(f"{device_path(made['id'])}/profile")).status_code == 200
    assert (await http.post("/v1/peers", json={"public_key": key_pair().public})).status_code == 201


async def test_a_key_belongs_to_one_protocol(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})).json()
    answer = await http.post("/v1/peers", json={"public_key": made["id"]})
    assert (answer.status_code, answer.json()["field"]) == (422, "public_key")


async def test_a_gateway_without_certificates_says_so(tmp_path: Path) -> None:
    settings = agent_settings(tmp_path)
    store = SqliteStore(tmp_path / "peers.sqlite")
    devices = Devices(store, FakeAccess(), settings.client_networks, SERVER_KEY)
    app = create_app(lambda: settings, Tokens(f"admin {TOKEN}\n").grant, devices)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent", headers=headers) as http:
        answer = await http.post("/v1/peers", json={"protocol": "openvpn", "make_key": True})
    assert answer.json()["detail"] == "this gateway does not offer openvpn"
    assert answer.json()["field"] == "protocol"
    store.close()


def test_who_offers_no_certificates_does_not_pay_for_their_libraries() -> None:
    """They take 9 MiB."""
    program = "import gateway.agent.run, gateway.agent.api, sys; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=ROOT).returncode == 0
