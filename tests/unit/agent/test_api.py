"""The HTTP contract, on a real store and a data plane in a dictionary."""

import urllib.parse
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.agent.api import create_app
from gateway.agent.devices import Devices
from gateway.agent.metrics import make_registry
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.request_limits import MAX_BODY_BYTES, MAX_DISCARDED_BYTES, BodyLimits
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Store
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, FakeDataPlane, key_pair

TOKEN = "right-token"
PRESHARED = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
SLASHED = "//8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+8="
"""A key with each of the characters that a path cannot hold as they are."""


class Gateway:
    """The application with all that it stands on."""

    def __init__(self, directory: Path) -> None:
        self.settings = AgentSettings(
            listen_port=51820,
            endpoint="vpn.example.org:51820",
            client_networks="10.77.0.0/29,fd77::/64",
            dns="100.100.100.100",
            private_key_file=directory / "private-key",
            public_key=SERVER_KEY,
            token_file=directory / "token",
            state_dir=directory,
        )
        self.plane = FakeDataPlane()
        self.store = Store(directory / "peers.sqlite")
        self.missing: list[str] = []
        peers = Peers(self.plane, self.settings.client_networks)
        devices = Devices(self.store, peers, self.settings.client_networks, SERVER_KEY)
        self.registry = make_registry(devices, FakeAccess())
        self.app = create_app(self.settings, TOKEN, devices, self.problems, self.registry)

    async def problems(self) -> list[str]:
        return self.missing


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
    assert peer == {
        "name": "Anna's phone",
        "public_key": key,
        "addresses": ["10.77.0.2/32", "fd77::2/128"],
        "server_public_key": SERVER_KEY,
        "server_endpoint": "vpn.example.org:51820",
        "allowed_ips": ["0.0.0.0/0", "::/0"],
        "dns": ["100.100.100.100"],
        "mtu": 1280,
        "persistent_keepalive": 25,
        "last_endpoint": None,
        "last_handshake_at": None,
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
async def test_every_peer_route_needs_the_token(gateway: Gateway, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gateway.app), base_url="http://agent", headers=headers
    ) as http:
        guarded = [
            (method, path.replace("{public_key}", "x"))
            for path, methods in (await http.get("/openapi.json")).json()["paths"].items()
            for method in methods
            if path.startswith("/v1/")
        ]
        assert len(guarded) == 4
        for method, path in guarded:
            answer = await http.request(method, path, json={"public_key": SLASHED})
            problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
    assert gateway.store.everyone() == []


@pytest.mark.parametrize(
    ("body", "field", "sentence"),
    [
        ({}, "public_key", "Field required"),
        ({"public_key": "PLACEHOLDER"}, "public_key", "not a WireGuard key"),
        ({"public_key": SERVER_KEY}, "public_key", "the gateway's own public key"),
        ({"public_key": SLASHED, "name": ""}, "name", "at least 1 character"),
        ({"public_key": SLASHED, "name": "two\nlines"}, "name", "one line"),
        ({"public_key": SLASHED, "name": "x" * 65}, "name", "at most 64"),
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


async def test_names_and_addresses_run_out(http: httpx.AsyncClient) -> None:
    await http.post("/v1/peers", json={"public_key": key_pair().public, "name": "phone"})
    taken = await http.post("/v1/peers", json={"public_key": key_pair().public, "name": "phone"})
    assert problem(taken, 409)["field"] == "name"
    for _ in range(4):
        assert (await http.post("/v1/peers", json={"public_key": key_pair().public})).status_code == 201
    problem(await http.post("/v1/peers", json={"public_key": key_pair().public}), 507)


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


async def test_an_absent_interface_is_503_with_retry_after(gateway: Gateway, http: httpx.AsyncClient) -> None:
    gateway.plane.broken = True
    answer = await http.post("/v1/peers", json={"public_key": SLASHED})
    problem(answer, 503)
    assert answer.headers["retry-after"] == "1"
    gateway.plane.broken = False
    assert (await http.post("/v1/peers", json={"public_key": SLASHED})).status_code == 200


async def test_defects_are_not_shown(gateway: Gateway, http: httpx.AsyncClient) -> None:
    gateway.store.close()  # whatever happens then, it is no caller's business
    problem(await http.get(f"/v1/peers/{SLASHED}"), 500)


async def test_alive_ready_and_metrics_need_no_token(gateway: Gateway, http: httpx.AsyncClient) -> None:
    del http.headers["Authorization"]
    assert (await http.get("/healthz")).json() == {"status": "alive"}
    assert (await http.get("/readyz")).json() == {"status": "ready"}
    gateway.missing = ["the interface wg0 is down", "no mesh"]
    members = problem(await http.get("/readyz"), 503)
    assert members["missing"] == gateway.missing
    assert members["detail"] == "the interface wg0 is down; no mesh"
    await http.get(f"/v1/peers/{SLASHED}")
    metrics = (await http.get("/metrics")).text
    assert 'meshgate_requests_total{method="GET",route="/readyz",status="503"}' in metrics
    assert SLASHED not in metrics


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from(["public_key", "name", "ttl_seconds", "preshared_key"]) | st.text(),
            inner | st.just(SLASHED),
        ),
        max_leaves=6,
    )
)
async def test_no_body_is_a_defect(gateway: Gateway, body: object) -> None:
    transport = httpx.ASGITransport(gateway.app)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://agent", headers=headers) as http:
        answer = await http.post("/v1/peers", json=body)
    assert answer.status_code in {200, 201, 409, 422, 507}
