"""The key service against the fake Headscale: what each call answers, what it refuses, what it leaves behind."""

import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gateway.agent.tokens import Tokens
from gateway.headscale.client import Headscale
from gateway.keys.api import Pace, create_app
from gateway.keys.errors import TooManyError
from gateway.keys.mesh_devices import MeshDevices
from gateway.keys.settings import KeySettings
from tests.unit.headscale.fake import FakeHeadscale

TOKEN, READER = "the-orchestrators-token", "a-token-of-a-reader"
USER = "meshgate-lab-devices"
ADA = {"owner": "ada"}


@pytest.fixture(params=["0.29", "0.23"])
def server(request: pytest.FixtureRequest) -> FakeHeadscale:
    return FakeHeadscale(request.param)


@pytest.fixture
async def http(server: FakeHeadscale, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    api_key = server.new_api_key(datetime.now(UTC) + timedelta(hours=1))
    settings = KeySettings(
        headscale_url=server.url,
        api_key_file=tmp_path / "api-key",
        user=USER,
        devices_per_owner=2,
        keys_per_minute=20,
        token_file=tmp_path / "tokens",
    )
    devices = MeshDevices(lambda: Headscale(server.url, api_key, transport=server), settings)
    app = create_app(settings, Tokens(f"register {TOKEN}\nread {READER}\n").grant, devices)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://keys", headers=headers) as http:
        yield http


async def minted(http: httpx.AsyncClient, **more: object) -> dict[str, str]:
    answer = await http.post("/v1/devices", json={**ADA, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_a_device_joins_by_its_key_and_is_removed(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    made = await minted(http, name="phone")
    assert made["login_server"] == server.url
    end = datetime.fromisoformat(made["expires_at"])
    assert timedelta(minutes=9) < end - datetime.now(UTC) < timedelta(minutes=10, seconds=1)
    path = f"/v1/devices/{made['id']}"
    assert (await http.get(path, params=ADA)).json()["joined"] is False
    server.join(made["pre_auth_key"], "phone", ())
    device = (await http.get(path, params=ADA)).json()
    assert (device["joined"], device["node"]["name"]) == (True, "phone")
    with pytest.raises(PermissionError):
        server.join(made["pre_auth_key"], "second", ())
    assert (await http.delete(path, params=ADA)).status_code == 204
    assert not server.nodes
    for call in (http.get, http.delete):
        assert (await call(path, params=ADA)).status_code == 404


async def test_nodes_of_others_are_not_asked_for(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    whose: list[str | None] = []

    def hear(request: httpx.Request) -> None:
        if request.url.path.endswith("/node"):
            whose.append(request.url.params.get("user"))

    server.fail = hear
    first = await minted(http)
    assert (await http.get(f"/v1/devices/{first['id']}", params=ADA)).json()["joined"] is False
    assert whose == [], "nobody has joined by a key that is not used"
    server.join(first["pre_auth_key"], "phone", ())
    assert (await http.get(f"/v1/devices/{first['id']}", params=ADA)).json()["joined"] is True
    await minted(http)
    assert (await http.delete(f"/v1/devices/{first['id']}", params=ADA)).status_code == 204
    assert whose == [USER] * 3


async def test_a_device_that_was_given_a_tag_is_still_one(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    """Its node is the user's no more, since 0.28."""
    made = await minted(http)
    server.join(made["pre_auth_key"], "phone", ())
    (node,) = server.nodes.values()
    node.tags = ["tag:phone"]
    await minted(http)
    assert (await http.get(f"/v1/devices/{made['id']}", params=ADA)).json()["joined"] is True
    assert (await http.delete(f"/v1/devices/{made['id']}", params=ADA)).status_code == 204
    assert not server.nodes


async def test_a_key_that_is_taken_back_lets_nobody_in(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    made = await minted(http)
    assert (await http.delete(f"/v1/devices/{made['id']}", params=ADA)).status_code == 204
    with pytest.raises(PermissionError):
        server.join(made["pre_auth_key"], "phone", ())


async def test_another_owner_has_no_such_device(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    made = await minted(http)
    server.join(made["pre_auth_key"], "phone", ())
    for call in (http.get, http.delete):
        answer = await call(f"/v1/devices/{made['id']}", params={"owner": "eve"})
        assert (answer.status_code, answer.json()["field"]) == (404, "id")
    assert server.nodes


async def test_keys_of_others_are_none_of_its_business(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    with Headscale(server.url, server.new_api_key(datetime.now(UTC) + timedelta(hours=1)), transport=server) as other:
        gateways = other.create_pre_auth_key(
            other.ensure_user("meshgate-lab"), expiration=datetime.now(UTC) + timedelta(hours=1)
        )
    await minted(http)
    assert (await http.delete(f"/v1/devices/{gateways.id}", params=ADA)).status_code == 404
    assert int(gateways.id) in server.keys


async def test_an_owner_has_so_many_devices_and_no_more(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    first = await minted(http)
    await minted(http)
    full = await http.post("/v1/devices", json=ADA)
    assert (full.status_code, full.json()["field"]) == (409, "owner")
    assert (await http.post("/v1/devices", json={"owner": "bob"})).status_code == 201
    await http.delete(f"/v1/devices/{first['id']}", params=ADA)
    await minted(http)


async def test_spent_keys_do_not_gather(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    for _ in range(5):
        made = await minted(http)
        server.join(made["pre_auth_key"], "phone", ())
        server.nodes.clear()  # as an ephemeral node that went offline
    await minted(http)
    if server.version == "0.29":
        assert len(server.keys) == 1


async def test_the_log_names_no_key(
    http: httpx.AsyncClient, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = await minted(http, name="phone")
    assert (await http.delete(f"/v1/devices/{made['id']}", params=ADA)).status_code == 204
    for what, more in (("minted", {"name": "phone"}), ("removed", {})):
        (line,) = [record for record in caplog.records if record.getMessage() == what]
        told = line.fields  # type: ignore[attr-defined]
        assert told.items() >= {"key": made["id"], "scopes": ["register"], **more}.items()
    assert made["pre_auth_key"] not in str([vars(record) for record in caplog.records])


async def test_a_node_is_ephemeral_if_that_is_asked_for(http: httpx.AsyncClient, server: FakeHeadscale) -> None:
    for asked, is_ephemeral in (({}, False), ({"ephemeral": True}, True)):
        made = await minted(http, **asked)
        key = server.keys[int(made["id"])]
        assert (key.ephemeral, key.reusable) == (is_ephemeral, False)


async def test_an_address_that_asks_for_more_than_its_keys_a_minute_is_told(http: httpx.AsyncClient) -> None:
    asked = [await http.post("/v1/devices", json={"owner": f"owner {number}"}) for number in range(21)]
    assert [answer.status_code for answer in asked] == [201] * 20 + [429]
    assert asked[-1].json()["detail"] == "20 keys were minted for this address within a minute; wait one"


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "owner"), ({"owner": ""}, "owner"), ({**ADA, "ephemeral": "perhaps"}, "ephemeral"), ({**ADA, "x": 1}, "x")],
)
async def test_bad_input_names_its_field(http: httpx.AsyncClient, body: dict[str, object], field: str) -> None:
    answer = await http.post("/v1/devices", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_who_may_only_read_gets_no_key(http: httpx.AsyncClient) -> None:
    reader = {"Authorization": f"Bearer {READER}"}
    assert (await http.post("/v1/devices", json=ADA, headers=reader)).status_code == 403
    assert (await http.post("/v1/devices", json=ADA, headers={"Authorization": "Bearer no"})).status_code == 401


async def test_a_headscale_that_is_away_is_told_without_its_words(
    http: httpx.AsyncClient, server: FakeHeadscale
) -> None:
    server.fail = lambda _: httpx.Response(500, text="secret inside")
    answer = await http.post("/v1/devices", json=ADA)
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_an_address_gets_so_many_keys_a_minute() -> None:
    now = 0.0
    pace = Pace(2, clock=lambda: now)
    pace.take("10.0.0.1")
    pace.take("10.0.0.1")
    with pytest.raises(TooManyError, match="2 keys were minted"):
        pace.take("10.0.0.1")
    pace.take("10.0.0.2")
    now = 61.0
    pace.take("10.0.0.1")
