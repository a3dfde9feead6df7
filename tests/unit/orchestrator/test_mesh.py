"""The reference orchestrator before a key service that is told what to answer."""

import httpx
import pytest
import respx

from tests.unit.orchestrator.june import ADAS, June, sent

KEYS = "http://keys.test:8080"
MINTED = {
    "id": "17",
    "login_server": "https://headscale.test",
    "pre_auth_key": "a pre-auth key",
    "expires_at": "2030-01-01T00:00:00Z",
}


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_KEYS_URL", KEYS)
    monkeypatch.setenv("MESH_KEYS_TOKEN", "token-of-keys")


@pytest.mark.usefixtures("mesh")
async def test_a_device_gets_the_servers_url_and_a_key(server: respx.MockRouter, june: June) -> None:
    devices = server.post(f"{KEYS}/v1/devices").respond(201, json=MINTED)
    answer = (await june.register("Ada's phone", access="mesh")).json()
    assert answer == {
        "success": True,
        "message": "Device registered",
        "device_name": "Ada's phone",
        "device_id": "17",
        "login_server": "https://headscale.test",
        "pre_auth_key": "a pre-auth key",
        "expires_at": "2030-01-01T00:00:00Z",
    }
    assert sent(devices) == {"owner": ADAS, "name": "Ada's phone", "ephemeral": True}
    assert devices.calls.last.request.headers["Authorization"] == "Bearer token-of-keys"


@pytest.mark.usefixtures("mesh")
async def test_the_users_device_leaves_the_mesh(server: respx.MockRouter, june: June) -> None:
    gone = server.delete(f"{KEYS}/v1/devices/17", params={"owner": ADAS}).respond(204)
    assert (await june.unregister("17")).is_success
    gone.respond(404, json={"detail": "this owner has no such device"})
    assert (await june.unregister("17")).is_success
    gone.respond(404, text="default backend")
    assert (await june.unregister("17")).status_code == 502


@pytest.mark.usefixtures("mesh")
@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (httpx.Response(409, json={"detail": "this owner has 10 devices"}), 409, "this owner has 10 devices"),
        (httpx.Response(401, json={}), 502, "The key service refuses this service's token."),
        (httpx.Response(200, text="<html>Welcome</html>"), 502, "The key service refused."),
        (httpx.ConnectError, 503, "The key service does not answer; try again soon."),
    ],
)
async def test_a_refusal_reaches_the_app(
    answer: httpx.Response | type[Exception], status: int, said: str, server: respx.MockRouter, june: June
) -> None:
    server.post(f"{KEYS}/v1/devices").mock(side_effect=[answer])
    refused = await june.register(access="mesh")
    assert (refused.status_code, refused.json()["detail"]) == (status, said)


async def test_without_a_key_service_the_answer_names_what_is_missing(june: June) -> None:
    for refused in (await june.register(access="mesh"), await june.unregister("17")):
        assert refused.status_code == 503
        assert refused.json()["detail"] == (
            "There is no key service yet: MESH_KEYS_URL and MESH_KEYS_TOKEN are not set."
        )
