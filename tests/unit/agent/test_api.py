"""The HTTP contract, on a real store and a data plane in a dictionary."""

import asyncio
import configparser
import re
import urllib.parse
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import zxingcpp
from hypothesis import HealthCheck, given, settings
from prometheus_client import CollectorRegistry
from starlette.types import Message

from gateway.agent.api import create_app
from gateway.agent.certified_devices import CertifiedDevices
from gateway.agent.devices import Devices
from gateway.agent.metrics import make_registry
from gateway.agent.probes import create_probes
from gateway.agent.protocols.dispatch import Dispatch
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.request_limits import MAX_BODY_BYTES, MAX_DISCARDED_BYTES, BodyLimits
from gateway.agent.stores.sqlite import SqliteStore
from gateway.agent.tokens import Tokens
from infra import curve25519
from tests.device_paths import device_path
from tests.unit.agent import api_fuzz
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, FakeDataPlane, agent_settings, key_pair, made_issuer

TOKEN, APP, READER = "the-operators-token", "a-token-of-the-app", "a-token-of-a-reader"
PRESHARED = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SLASHED = "//8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+8="
"""A key with each of the characters that a path cannot hold as they are."""


class Gateway:
    """The application with all that it stands on; it offers every protocol."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings = agent_settings(
            directory,
            openvpn_listen="udp:1194",
            openvpn_endpoints="udp:vpn.example.org:1194",
            ipsec_dir=directory,
            issuing_certificate_file=directory / "chain",
            issuing_key_file=directory / "key",
        )
        self.plane = FakeDataPlane()
        self.store = SqliteStore(directory / "peers.sqlite")
        self.missing: list[str] = []
        peers = Peers(self.plane, self.settings.client_networks)
        every = Dispatch({"wireguard": peers, "openvpn": FakeAccess(), "ipsec": FakeAccess()})
        self.devices = Devices(self.store, every, self.settings.client_networks, SERVER_KEY)
        self.tokens = Tokens(f"admin {TOKEN}\nregister {APP}\nread {READER}\n")
        self.app = create_app(lambda: self.settings, self.tokens.grant, self.devices, CertifiedDevices(made_issuer()))
        self.registry = make_registry(self.devices, FakeAccess())
        self.warnings: list[str] = []
        self.probes = create_probes(self.problems, self.registry, lambda: self.warnings)

    async def problems(self) -> list[str]:
        return self.missing

    async def make_room(self) -> None:
        """Between any two requests the interface has the devices that the store has; those with new keys go again."""
        stored = list(self.store.everyone())
        assert set(self.plane.peers) == {device.public_key for device in stored if device.protocol == "wireguard"}
        for device in stored:
            if device.public_key not in {api_fuzz.KEY, api_fuzz.ID}:
                await self.devices.revoke(device.public_key)
        self.devices.pool.free(list(self.devices.pool.resting))  # as `flows` does a moment later


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.store.close()


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gateway.app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://agent", headers=headers) as http:
        yield http


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """The members of a problem+json answer, which must have this status."""
    assert answer.headers["content-type"] == "application/problem+json"
    members = dict(answer.json())
    assert members["status"] == answer.status_code == status
    assert members["detail"]
    assert "Traceback" not in answer.text
    return members


async def test_a_new_peer_gets_all_it_needs(http: httpx.AsyncClient) -> None:
    key = key_pair().public
    body = {"public_key": key, "name": "Anna's phone", "ttl_seconds": 60, "preshared_key": PRESHARED}
    answer = await http.post("/v1/peers", json=body)
    assert answer.status_code == 201
    peer = answer.json()
    created, expires = datetime.fromisoformat(peer.pop("created_at")), datetime.fromisoformat(peer.pop("expires_at"))
    assert (expires - created).total_seconds() == 60
    profile = peer.pop("profile")
    assert "# PrivateKey = the device's own" in profile
    assert PRESHARED not in profile
    assert peer == {
        "protocol": "wireguard",
        "id": key,
        "name": "Anna's phone",
        "public_key": key,
        "has_preshared_key": True,
        "addresses": ["10.77.0.2/32", "fd77::2/128"],
        "server_public_key": SERVER_KEY,
        "server_endpoint": "vpn.example.org:51820",
        "allowed_ips": ["0.0.0.0/0", "::/0"],
        "dns": ["100.100.100.100"],
        "mtu": 1280,
        "persistent_keepalive": 25,
        "uses_previous_key": False,
        "last_endpoint": None,
        "last_handshake_at": None,
        "private_key": None,
    }
    assert (await http.post("/v1/peers", json=body)).status_code == 200
    assert PRESHARED not in (await http.get("/v1/peers")).text


@pytest.mark.parametrize(
    "segment",
    [SLASHED, urllib.parse.quote(SLASHED, safe=""), SLASHED.replace("/", "_").replace("+", "-")],
)
async def test_a_key_in_the_path(http: httpx.AsyncClient, segment: str) -> None:
    await http.post("/v1/peers", json={"public_key": SLASHED})
    assert (await http.get(f"/v1/peers/{segment}")).json()["public_key"] == SLASHED
    assert (await http.delete(f"/v1/peers/{segment}")).status_code == 204
    assert problem(await http.delete(f"/v1/peers/{segment}"), 404)["field"] == "public_key"


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
async def test_without_the_token_nobody_learns_anything(gateway: Gateway, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gateway.app), base_url="http://agent", headers=headers
    ) as http:
        everything = [("GET", "/openapi.json"), ("GET", "/"), ("GET", "/v1/nothing"), ("PUT", "/v1/peers")]
        routes = gateway.app.openapi()["paths"]
        everything += [(method, path.format(public_key="x")) for path, calls in routes.items() for method in calls]
        assert len(everything) == 9
        for method, path in everything:
            for body in (f'{{"public_key": "{SLASHED}"}}', "{", "x" * (MAX_BODY_BYTES + 1), "{}"):
                answer = await http.request(method, path, content=body)
                problem(answer, 401)
                assert answer.headers["www-authenticate"] == "Bearer"
    assert gateway.store.everyone() == []


@pytest.mark.parametrize(
    ("token", "lacks"),
    [
        (TOKEN, {}),
        (APP, {"list": "read"}),
        (READER, {"register": "register", "revoke": "register"}),
    ],
    ids=["admin", "register", "read"],
)
async def test_a_token_is_good_for_its_scopes_alone(gateway: Gateway, token: str, lacks: dict[str, str]) -> None:
    transport, path = httpx.ASGITransport(gateway.app), f"/v1/peers/{SLASHED}"
    calls: dict[str, tuple[str, str, int]] = {
        "register": ("POST", "/v1/peers", 200),
        "find": ("GET", path, 200),
        "list": ("GET", "/v1/peers", 200),
        "revoke": ("DELETE", path, 204),
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://agent") as http:
        body = {"public_key": SLASHED}
        await http.post("/v1/peers", json=body, headers={"Authorization": f"Bearer {TOKEN}"})
        for name, (method, url, status) in calls.items():
            answer = await http.request(
                method, url, json=body if method == "POST" else None, headers={"Authorization": f"Bearer {token}"}
            )
            if name not in lacks:
                assert answer.status_code == status
                continue
            assert f"lacks the scope '{lacks[name]}'" in str(problem(answer, 403)["detail"])
            assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{lacks[name]}"'
    assert bool(gateway.store.everyone()) is ("revoke" in lacks)


async def test_answers_tell_the_settings_as_they_are_now(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await http.post("/v1/peers", json={"public_key": SLASHED})
    changed = {"endpoint": "other.example.org:51820", "mtu": 1400, "persistent_keepalive": 0, "dns": ()}
    gateway.settings = gateway.settings.model_copy(update=changed)
    told = (await http.get("/v1/peers")).json()["peers"][0]
    names = ("server_endpoint", "mtu", "persistent_keepalive", "dns")
    assert [told[name] for name in names] == ["other.example.org:51820", 1400, 0, []]


async def test_who_uses_the_previous_key_is_told(gateway: Gateway, http: httpx.AsyncClient) -> None:
    key = key_pair().public
    await http.post("/v1/peers", json={"public_key": key})
    rotated = {"public_key": key_pair().public, "previous_public_key": SERVER_KEY}
    others = {"previous_interface": "wg1", "previous_listen_port": 51821, "previous_private_key_file": "previous"}
    gateway.settings = agent_settings(gateway.directory, **rotated, **others)
    (peer,) = (await http.get("/v1/peers")).json()["peers"]
    assert (peer["uses_previous_key"], peer["server_public_key"]) == (True, rotated["public_key"])


async def test_a_key_that_the_gateway_makes_is_said_once(gateway: Gateway, http: httpx.AsyncClient) -> None:
    made = (await http.post("/v1/peers", json={"make_key": True, "name": "phone", "preshared_key": PRESHARED})).json()
    assert made["public_key"] == curve25519.public_key(made["private_key"])
    config = configparser.ConfigParser()
    config.read_string(made["profile"])
    assert dict(config["Interface"]) == {
        "privatekey": made["private_key"],
        "address": ", ".join(made["addresses"]),
        "dns": "100.100.100.100",
        "mtu": "1280",
    }
    assert config["Peer"]["PresharedKey"] == PRESHARED
    path = device_path(made["id"])
    for there in (path, f"{path}/profile", "/v1/peers"):
        answer = await http.get(there)
        assert answer.status_code == 200
        assert made["private_key"] not in answer.text
        assert PRESHARED not in answer.text
    assert made["private_key"].encode() not in b"".join(
        file.read_bytes() for file in gateway.directory.glob("peers.sqlite*")
    )


async def test_a_qr_code_is_the_file_that_a_phone_takes(http: httpx.AsyncClient) -> None:
    made = (await http.post("/v1/peers", json={"make_key": True, "profile_format": "qr"})).json()
    (read,) = zxingcpp.read_barcodes(pixels(made["profile"]))
    assert read.text.startswith(f"[Interface]\nPrivateKey = {made['private_key']}\n")
    again = await http.get(f"{device_path(made['id'])}/profile?format=qr")
    assert problem(again, 422)["field"] == "format"
    assert "have it made (make_key)" in again.json()["detail"]


def pixels(svg: str) -> memoryview:
    """A QR code as a camera sees it: its image is one path of horizontal strokes, each a module high."""
    (width,) = re.findall(r'<svg .*?width="(\d+)"', svg)
    (scale,) = re.findall(r'transform="scale\((\d+)\)"', svg)
    (strokes,) = re.findall(r'stroke="#000" d="(.*?)"', svg)
    size = int(width) // int(scale)
    seen = bytearray(b"\xff" * size * size)
    x = y = 0
    for command, *numbers in re.findall(r"([Mmh])(-?[\d.]+)(?:[ ,]?(-?[\d.]+))?", strokes):
        across, down = (int(float(number or 0) // 1) for number in numbers)
        if command == "h":
            seen[y * size + x : y * size + x + across] = bytes(across)
            x += across
        else:
            x, y = (across, down) if command == "M" else (x + across, y + down)
    enlarged = b"".join(bytes(v for v in seen[r * size : (r + 1) * size] for _ in range(4)) * 4 for r in range(size))
    return memoryview(enlarged).cast("B", (size * 4, size * 4))


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, "public_key", "send the device's public_key, or make_key: true"),
        ({"public_key": SLASHED, "make_key": True}, "public_key", "or make_key: true"),
        ({"public_key": SLASHED, "profile_format": "qr"}, "profile_format", "holds the private key; ask for make_key"),
        ({"make_key": True, "profile_format": "ovpn"}, "profile_format", "wireguard has conf, qr"),
        ({"public_key": "PLACEHOLDER"}, "public_key", "not a WireGuard key"),
        ({"public_key": SERVER_KEY}, "public_key", "the gateway's own public key"),
        ({"public_key": SLASHED, "name": "two\nlines"}, "name", "one line"),
        ({"public_key": SLASHED, "name": 5}, "name", "valid string"),
        ({"public_key": SLASHED, "ttl_seconds": 0}, "ttl_seconds", "greater than or equal to 1"),
        ({"public_key": SLASHED, "ttl": 5}, "ttl", "Extra inputs are not permitted"),
        ({"public_key": SLASHED, "preshared_key": "hunter2"}, "preshared_key", "not a WireGuard key"),
        ([], "body", "valid dictionary"),
    ],
)
async def test_bad_fields_are_named(http: httpx.AsyncClient, body: object, field: str, sentence: str) -> None:
    answer = await http.post("/v1/peers", json=body)
    members = problem(answer, 422)
    assert members["field"] == field
    assert sentence in str(members["detail"])
    assert "hunter2" not in answer.text


async def test_what_is_no_json_and_no_route(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    assert problem(await http.post("/v1/peers", content=b"{", headers=headers), 422)["field"] == "body"
    problem(await http.get("/v1/nothing"), 404)
    problem(await http.put("/v1/peers"), 405)
    assert problem(await http.get("/v1/peers/not-a-key"), 422)["field"] == "public_key"


async def test_addresses_run_out_and_names_do_not(http: httpx.AsyncClient) -> None:
    for _ in range(5):
        answer = await http.post("/v1/peers", json={"public_key": key_pair().public, "name": "iPhone"})
        assert (answer.status_code, answer.json()["name"]) == (201, "iPhone")
    problem(await http.post("/v1/peers", json={"public_key": key_pair().public}), 507)


async def test_a_name_is_a_label_that_is_cut(http: httpx.AsyncClient) -> None:
    name = "Anna\u2019s\u00a0iPhone \U0001f469\u200d\U0001f4bb \U0001f1e9\U0001f1ea"
    answer = await http.post("/v1/peers", json={"public_key": SLASHED, "name": f"  {name}{' x' * 200}"})
    assert answer.json()["name"].startswith(name)
    assert len(answer.json()["name"]) <= 64


async def test_what_is_not_named_stays_and_null_unsets(http: httpx.AsyncClient) -> None:
    body = {"public_key": SLASHED, "name": "phone", "ttl_seconds": 60, "preshared_key": PRESHARED}
    await http.post("/v1/peers", json=body)
    kept = (await http.post("/v1/peers", json={"public_key": SLASHED})).json()
    assert (kept["name"], kept["has_preshared_key"], kept["expires_at"] is None) == ("phone", True, False)
    for field in ("name", "ttl_seconds", "preshared_key"):
        kept = (await http.post("/v1/peers", json={"public_key": SLASHED, field: None})).json()
    assert (kept["name"], kept["has_preshared_key"], kept["expires_at"]) == (None, False, None)
    await http.post("/v1/peers", json={"public_key": SLASHED, "name": "phone"})
    assert (await http.post("/v1/peers", json={"public_key": SLASHED, "name": " "})).json()["name"] is None


async def test_pages(http: httpx.AsyncClient) -> None:
    keys = [key_pair().public for _ in range(5)]
    for key in keys:
        await http.post("/v1/peers", json={"public_key": key})
    found, cursor, pages = [], None, 0
    while True:
        parameters = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await http.get("/v1/peers", params=parameters)).json()
        found += [peer["public_key"] for peer in page["peers"]]
        cursor, pages = page["next_cursor"], pages + 1
        if cursor is None:
            break
    assert (found, pages) == (keys, 3)
    for wrong in ({"cursor": "x"}, {"limit": "0"}, {"limit": "1001"}):
        problem(await http.get("/v1/peers", params=wrong), 422)


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 1_000_000, MAX_DISCARDED_BYTES + 100_000])
async def test_large_bodies_are_refused(http: httpx.AsyncClient, size: int) -> None:
    problem(await http.post("/v1/peers", content=b"x" * size), 413)


async def test_bodies_that_do_not_come_are_given_up(gateway: Gateway) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        raise TimeoutError  # what asyncio.timeout makes of a body that does not end

    transport = httpx.ASGITransport(BodyLimits(gateway.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://agent") as http:
        problem(await http.post("/v1/peers", content=slowly()), 408)


async def test_half_a_body_is_no_request() -> None:
    async def never(*_: object) -> None:
        raise AssertionError("the application was called")

    received: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b'{"public_key": ""}', "more_body": True},
    ]

    async def receive() -> Message:
        return received.pop()

    await BodyLimits(never)({"type": "http"}, receive, never)


async def test_the_openapi_has_every_answer(http: httpx.AsyncClient) -> None:
    openapi = (await http.get("/openapi.json")).json()
    answers = {
        (method, path): {int(status) for status in call["responses"]}
        for path, calls in openapi["paths"].items()
        for method, call in calls.items()
    }
    every = {401, 403, 408, 413, 422, 429, 503}
    assert answers == {
        ("post", "/v1/peers"): {200, 201, 202, 507} | every,
        ("get", "/v1/peers"): {200} | every,
        ("get", "/v1/peers/{public_key}"): {200, 404} | every,
        ("get", "/v1/peers/{public_key}/profile"): {200, 404} | every,
        ("delete", "/v1/peers/{public_key}"): {204, 404} | every,
    }
    for calls in openapi["paths"].values():
        for call in calls.values():
            for status, answer in call["responses"].items():
                if status >= "400":
                    assert answer["content"] == {
                        "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
                    }
    assert openapi["components"]["schemas"]["Problem"]["required"] == ["type", "title", "status", "detail"]
    assert "HTTPValidationError" not in openapi["components"]["schemas"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"\\ud800": 1}', "body"),
        (b'{"two\\nlines": 1}', "two\ufffdlines"),
        (b"\xff\xfe", "body"),
        (b"[" * 10_000, "body"),
        (b"1" * 10_000, "body"),
    ],
)
async def test_what_a_caller_makes_up_stays_in_one_line(http: httpx.AsyncClient, body: bytes, field: str) -> None:
    members = problem(await http.post("/v1/peers", content=body, headers={"Content-Type": "application/json"}), 422)
    assert members["field"] == field
    assert str(members["detail"]).isprintable()


async def test_without_an_interface_a_device_is_accepted(gateway: Gateway, http: httpx.AsyncClient) -> None:
    gateway.plane.go_away()
    for _ in range(2):
        answer = await http.post("/v1/peers", json={"public_key": SLASHED})
        assert (answer.status_code, answer.json()["addresses"][0]) == (202, "10.77.0.2/32")
    gateway.plane.away = False
    assert (await http.post("/v1/peers", json={"public_key": SLASHED})).status_code == 200
    gateway.plane.go_away()
    assert (await http.delete(f"/v1/peers/{SLASHED}")).status_code == 204


async def test_a_revocation_that_is_not_done_yet_is_503_with_retry_after(
    gateway: Gateway, http: httpx.AsyncClient
) -> None:
    await http.post("/v1/peers", json={"public_key": SLASHED})
    gateway.plane.broken = True
    answer = await http.delete(f"/v1/peers/{SLASHED}")
    problem(answer, 503)
    assert answer.headers["retry-after"] == "1"
    problem(await http.get(f"/v1/peers/{SLASHED}"), 404)
    gateway.plane.broken = False
    assert (await http.delete(f"/v1/peers/{SLASHED}")).status_code == 204


async def test_a_store_that_cannot_be_written_is_503(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await http.post("/v1/peers", json={"public_key": SLASHED})
    gateway.store.close()
    refused = problem(await http.post("/v1/peers", json={"public_key": key_pair().public}), 503)
    assert str(refused["detail"]).startswith("the store of devices cannot be written")
    assert "not forgotten yet" in str(problem(await http.delete(f"/v1/peers/{SLASHED}"), 503)["detail"])
    assert gateway.plane.peers == {}


async def test_defects_are_not_shown(
    gateway: Gateway, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defect(_: object) -> None:
        raise RuntimeError("no caller's business")

    monkeypatch.setattr(gateway.plane, "set_peer", defect)
    assert "business" not in str(problem(await http.post("/v1/peers", json={"public_key": SLASHED}), 500))


async def test_alive_ready_and_metrics_are_apart_and_need_no_token(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await http.get(f"/v1/peers/{SLASHED}")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway.probes), base_url="http://agent") as probes:
        assert (await probes.get("/healthz")).json() == {"status": "alive"}
        assert (await probes.get("/readyz")).json() == {"status": "ready"}
        gateway.warnings = ["etcd is away"]
        assert (await probes.get("/readyz")).json() == {"status": "ready", "warnings": ["etcd is away"]}
        gateway.missing = ["the interface wg0 is down", "no mesh"]
        members = problem(await probes.get("/readyz"), 503)
        assert members["missing"] == gateway.missing
        assert members["detail"] == "the interface wg0 is down; no mesh"
        metrics = (await probes.get("/metrics")).text
        assert 'meshgate_requests_total{method="GET",route="/v1/peers/{public_key:path}",status="404"}' in metrics
        assert SLASHED not in metrics
        for others in ("/v1/peers", "/openapi.json"):
            problem(await probes.get(others), 404)
    for path in ("/healthz", "/readyz", "/metrics"):
        problem(await http.get(path), 404)


async def test_many_scrapes_are_one(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def generate(registry: CollectorRegistry) -> bytes:
        made.append(registry)
        return b"page"

    monkeypatch.setattr("gateway.agent.probes.generate_latest", generate)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gateway.probes), base_url="http://agent") as probes:
        pages = await asyncio.gather(*(probes.get("/metrics") for _ in range(20)))
    assert {page.text for page in pages} == {"page"}
    assert made == [gateway.registry]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(call=api_fuzz.calls(TOKEN))
async def test_any_request_gets_an_answer_that_the_openapi_has(gateway: Gateway, call: api_fuzz.Call) -> None:
    await api_fuzz.check(gateway.app, call)
    await gateway.make_room()
