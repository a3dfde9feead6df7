"""The reference orchestrator before gateways that are told what to answer."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx

from examples.orchestrator.orchestrator import create_app

PEER = {
    "addresses": ["10.77.0.2/32", "fd77::2/128"],
    "server_public_key": "the server's",
    "server_endpoint": "vpn.example.com:31820",
    "allowed_ips": ["0.0.0.0/0", "::/0"],
    "dns": [],
    "persistent_keepalive": 25,
}
ONE, EDGE = "http://one.test:8080", "https://edge.test/meshgate"
UNKNOWN = {"detail": "There is no such peer."}


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture
def single(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_PEERS_URL", ONE)
    monkeypatch.setenv("GATEWAY_PEERS_TOKEN", "token-1")


@pytest.fixture
def several(single: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAYS", "one,edge-2")
    for name, url, token in (("ONE", ONE, "token-1"), ("EDGE_2", EDGE, "token-2")):
        monkeypatch.setenv(f"GATEWAY_{name}_PEERS_URL", url)
        monkeypatch.setenv(f"GATEWAY_{name}_PEERS_TOKEN", token)


async def ask(method: str, call: str, **content: Any) -> httpx.Response:  # noqa: ANN401
    transport = httpx.ASGITransport(create_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://june.test/api/v1/device") as june:
        return await june.request(method, call, **content)


async def register(**query: str) -> httpx.Response:
    return await ask("POST", "/register", json={"device_name": "phone"}, params=query)


async def unregister(**query: str) -> httpx.Response:
    return await ask("DELETE", "/unregister", params={"device_id": "a/b+c=", **query})


@pytest.mark.usefixtures("single")
async def test_a_device_gets_what_the_gateway_answers(server: respx.MockRouter) -> None:
    peers = server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
    answer = (await register()).json()
    assert (answer["address"], answer["allowedIPs"]) == ("10.77.0.2/32,fd77::2/128", "0.0.0.0/0,::/0")
    assert (answer["serverPublicKey"], answer["serverEndpoint"]) == ("the server's", "vpn.example.com:31820")
    assert len(base64.b64decode(answer["privateKey"])) == 32
    request = peers.calls.last.request
    assert request.headers["Authorization"] == "Bearer token-1"
    assert answer["publicKey"].encode() in request.content
    assert answer["privateKey"].encode() not in request.content


@pytest.mark.usefixtures("single")
async def test_a_refusal_reaches_the_app_with_its_own_sentence(server: respx.MockRouter) -> None:
    server.post(f"{ONE}/v1/peers").respond(409, json={"detail": "The name phone is taken."})
    refused = await register()
    assert (refused.status_code, refused.json()["detail"]) == (409, "The name phone is taken.")
    server.post(f"{ONE}/v1/peers").respond(502, text="<html>Bad gateway</html>")
    refused = await register()
    assert (refused.status_code, refused.json()["detail"]) == (502, "The VPN gateway refused.")
    server.post(f"{ONE}/v1/peers").respond(401, json={})
    assert (await register()).json()["detail"] == "The VPN gateway refuses this service's token."


async def test_without_a_gateway_the_answer_names_what_is_missing() -> None:
    refused = await register()
    assert refused.status_code == 503
    assert "GATEWAY_PEERS_URL and GATEWAY_PEERS_TOKEN are not set" in refused.json()["detail"]


@pytest.mark.usefixtures("several")
async def test_a_device_may_ask_for_a_gateway(server: respx.MockRouter) -> None:
    edge = server.post(f"{EDGE}/v1/peers").respond(201, json=PEER)
    assert (await register(gateway="edge-2")).is_success
    assert edge.calls.last.request.headers["Authorization"] == "Bearer token-2"
    refused = await register(gateway="other")
    assert refused.status_code == 404
    assert refused.json()["detail"] == "There is no VPN gateway 'other': there are one, edge-2."


@pytest.mark.usefixtures("single")
async def test_a_single_gateway_needs_no_name(server: respx.MockRouter) -> None:
    refused = await unregister(gateway="other")
    assert refused.status_code == 404
    assert refused.json()["detail"] == "There is no VPN gateway 'other': there is only one, which needs no name."


@pytest.mark.usefixtures("several")
async def test_the_first_gateway_that_can_takes_the_device(server: respx.MockRouter) -> None:
    one = server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
    edge = server.post(f"{EDGE}/v1/peers").respond(201, json=PEER)
    assert (await register()).is_success
    assert (one.call_count, edge.call_count) == (1, 0)
    one.mock(side_effect=httpx.ConnectError)
    assert (await register()).is_success
    one.mock(return_value=httpx.Response(507, json={"detail": "No address is left."}))
    assert (await register()).is_success
    assert edge.call_count == 2
    one.mock(return_value=httpx.Response(422, json={"detail": "The name is too long."}))
    assert (await register()).status_code == 422
    assert edge.call_count == 2


@pytest.mark.usefixtures("several")
async def test_no_gateway_can(server: respx.MockRouter) -> None:
    server.post(f"{ONE}/v1/peers").mock(side_effect=httpx.ConnectError)
    server.post(f"{EDGE}/v1/peers").respond(507, json={"detail": "No address is left."})
    refused = await register()
    assert (refused.status_code, refused.json()["detail"]) == (507, "No address is left.")


@pytest.mark.usefixtures("several")
async def test_a_device_is_shut_out_where_it_is(server: respx.MockRouter) -> None:
    server.delete(url__startswith=f"{ONE}/v1/peers/").respond(404, json=UNKNOWN)
    edge = server.delete(url__startswith=f"{EDGE}/v1/peers/").respond(204)
    assert (await unregister()).is_success
    assert edge.calls.last.request.url.raw_path == b"/meshgate/v1/peers/a%2Fb%2Bc%3D"
    edge.respond(404, json=UNKNOWN)
    assert (await unregister()).status_code == 404


@pytest.mark.usefixtures("several")
async def test_a_device_that_an_absent_gateway_may_have_is_not_said_to_be_gone(server: respx.MockRouter) -> None:
    server.delete(url__startswith=f"{ONE}/v1/peers/").mock(side_effect=httpx.ConnectError)
    server.delete(url__startswith=f"{EDGE}/v1/peers/").respond(404, json=UNKNOWN)
    assert (await unregister()).status_code == 503
