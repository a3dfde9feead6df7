"""Every change, and every change that was refused, is one line: who, what, when, why; and is counted."""

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.agent import request_audit
from gateway.agent.api import create_app
from gateway.agent.devices import Devices
from gateway.agent.errors import UnauthorizedError
from gateway.agent.metrics import make_registry
from gateway.agent.problems import problem_response
from gateway.agent.protocols.wireguard.peers import Peers
from gateway.agent.registration import Registration
from gateway.agent.request_audit import RequestAudit
from gateway.agent.settings import AgentSettings
from gateway.agent.stores.sqlite import SqliteStore
from gateway.agent.tokens import Tokens
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess, FakeDataPlane, key_pair

TOKEN = "the-one-right-token"
PRESHARED = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that knows nobody."""
    await problem_response(UnauthorizedError("a token is needed"))(scope, receive, send)


class Gateway:
    """The peer API with all that it stands on, and a clock."""

    def __init__(self, directory: Path, logged: pytest.LogCaptureFixture) -> None:
        settings = AgentSettings(
            listen_port=51820,
            endpoint="vpn.example.org:51820",
            client_networks="10.77.0.0/29",
            private_key_file=directory,
            public_key=SERVER_KEY,
            token_file=directory,
            state_dir=directory,
        )
        self.now = 1_000_000.0
        self.plane = FakeDataPlane()
        self.store = SqliteStore(directory / "peers.sqlite")
        peers = Peers(self.plane, settings.client_networks)
        self.devices = Devices(self.store, peers, settings.client_networks, SERVER_KEY, clock=lambda: self.now)
        self.app = create_app(lambda: settings, Tokens(f"admin {TOKEN}").grant, self.devices)
        self.registry = make_registry(self.devices, FakeAccess())
        self._logged = logged

    def lines(self) -> list[tuple[str, dict[str, Any]]]:
        """Events with their fields, in the audit and beside it."""
        return [
            (record.getMessage(), getattr(record, "fields", {}))
            for record in self._logged.records
            if record.name in {"gateway.agent.audit", request_audit.__name__}
        ]

    def counted(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0


@pytest.fixture
async def gateway(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Gateway]:
    caplog.set_level(logging.INFO)
    gateway = Gateway(tmp_path, caplog)
    yield gateway
    gateway.store.close()


@pytest.fixture
async def http(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(gateway.app, client=("10.0.0.7", 1), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://agent", headers=headers) as http:
        yield http


@pytest.fixture
def growth(gateway: Gateway) -> Callable[..., float]:
    """How much a counter has grown in this test."""
    names = ("new", "renewed", "refused", "failed", "done", "unknown")
    kinds = ("registrations", "revocations")
    before = {(kind, name): gateway.counted(f"meshgate_{kind}_total", outcome=name) for kind in kinds for name in names}

    def grown(kind: str, name: str) -> float:
        return gateway.counted(f"meshgate_{kind}_total", outcome=name) - before[kind, name]

    return grown


async def test_a_devices_life_is_a_line_each_without_its_key_or_a_secret(
    gateway: Gateway, http: httpx.AsyncClient, growth: Callable[..., float], caplog: pytest.LogCaptureFixture
) -> None:
    key = key_pair().public
    body = {"public_key": key, "name": 'a "phone"', "ttl_seconds": 60, "preshared_key": PRESHARED}
    await http.post("/v1/peers", json=body)
    await http.post("/v1/peers", json=body)
    await http.delete(f"/v1/peers/{key}")
    device = {"key": key[:8], "protocol": "wireguard", "name": 'a "phone"', "expires_at": "1970-01-12T13:47:40+00:00"}
    who = {**device, "address": "10.0.0.7", "scopes": ["admin", "read", "register"]}
    assert gateway.lines() == [
        ("registered", {**who, "let_in": True}),
        ("renewed", {**who, "let_in": True}),
        ("revoked", who),
    ]
    assert (growth("registrations", "new"), growth("registrations", "renewed")) == (1, 1)
    assert growth("revocations", "done") == 1
    told = "".join(f"{record.getMessage()}{vars(record)}" for record in caplog.records if record.name != "httpx")
    assert key not in told
    assert PRESHARED not in told
    assert TOKEN not in told


async def test_an_expired_device_is_a_line_too_and_nobody_called(gateway: Gateway, http: httpx.AsyncClient) -> None:
    before = gateway.counted("meshgate_expiries_total")
    key = key_pair().public
    await http.post("/v1/peers", json={"public_key": key, "ttl_seconds": 60})
    gateway.now += 61
    await gateway.devices.expire()
    event, told = gateway.lines()[-1]
    device = {"key": key[:8], "protocol": "wireguard"}
    assert (event, told) == ("expired", {**device, "expires_at": "1970-01-12T13:47:40+00:00"})
    assert gateway.counted("meshgate_expiries_total") - before == 1


async def test_an_accepted_device_is_a_line_that_says_so(gateway: Gateway, http: httpx.AsyncClient) -> None:
    before = gateway.counted("meshgate_registrations_total", outcome="accepted")
    gateway.plane.go_away()
    await http.post("/v1/peers", json={"public_key": key_pair().public})
    ((event, told),) = gateway.lines()
    assert (event, told["let_in"]) == ("registered", False)
    assert gateway.counted("meshgate_registrations_total", outcome="accepted") - before == 1


async def test_what_was_refused_is_a_line_with_its_reason(
    gateway: Gateway, http: httpx.AsyncClient, growth: Callable[..., float]
) -> None:
    key = key_pair().public
    gateway.store._db.execute("PRAGMA query_only = 1")  # as on a full disk
    await http.post("/v1/peers", json={"public_key": key})
    gateway.store._db.execute("PRAGMA query_only = 0")
    await http.post("/v1/peers", json={"public_key": SERVER_KEY})
    await http.post("/v1/peers", json={"public_key": "no key"})
    await http.delete(f"/v1/peers/{key_pair().public}")
    refused = [told for event, told in gateway.lines() if event == "refused"]
    assert [(told["action"], told["status"]) for told in refused] == [
        ("register", 503),
        ("register", 422),
        ("register", 422),
        ("revoke", 404),
    ]
    assert refused[0]["key"] == key[:8]
    assert refused[1]["reason"] == "this is the gateway's own public key; send the device's"
    assert refused[2]["reason"].startswith("public_key: not a WireGuard key")
    assert {told["address"] for told in refused} == {"10.0.0.7"}
    assert (growth("registrations", "failed"), growth("registrations", "refused")) == (1, 2)
    assert growth("revocations", "unknown") == 1


async def test_reading_is_no_change(gateway: Gateway, http: httpx.AsyncClient) -> None:
    await http.get("/v1/peers")
    await http.get(f"/v1/peers/{key_pair().public}")
    assert gateway.lines() == []


async def test_a_flood_of_strangers_is_a_line_a_minute(gateway: Gateway) -> None:
    now = 5.0
    stranger = httpx.ASGITransport(RequestAudit(refusing, "/v1/peers", clock=lambda: now), client=("192.0.2.9", 1))
    async with httpx.AsyncClient(transport=stranger, base_url="http://agent") as http:
        for _ in range(20):
            await http.post("/v1/peers")
        now += request_audit.STRANGERS_TOLD_EVERY_S
        await http.delete(f"/v1/peers/{key_pair().public}")
    told = {"reason": "a token is needed", "address": "192.0.2.9"}
    assert gateway.lines() == [("strangers refused", {"count": n, **told}) for n in (1, 20)]


async def test_what_the_token_is_good_for_is_told(gateway: Gateway) -> None:
    async def registering(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["scopes"] = frozenset({"register"})  # as authentication says it
        await gateway.devices.register(Registration(public_key=key_pair().public))
        await Response(status_code=201)(scope, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(RequestAudit(registering, "/v1/peers")), base_url="http://agent"
    ) as http:
        await http.post("/v1/peers")
    ((event, told),) = gateway.lines()
    assert (event, told["scopes"]) == ("registered", ["register"])


async def test_a_defect_is_a_refused_change(gateway: Gateway, http: httpx.AsyncClient) -> None:
    gateway.plane.set_peer = Mock(side_effect=RuntimeError)  # type: ignore[method-assign]
    await http.post("/v1/peers", json={"public_key": key_pair().public})
    ((event, told),) = gateway.lines()
    assert (event, told["status"]) == ("refused", 500)
