"""The reference orchestrator before gateways that are told what to answer."""

import base64
import hashlib
import os
import ssl
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import respx
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from examples.orchestrator import gateways
from examples.orchestrator.orchestrator import create_app
from tests.unit.docs.commands import bash, console
from tests.unit.orchestrator.june import ADAS, KEY, June, running, sent

ONE, EDGE = "http://one.test:8080", "https://edge.test/meshgate"
PEER = {
    "name": f"{ADAS}:phone",
    "addresses": ["10.77.0.2/32", "fd77::2/128"],
    "server_public_key": "the server's",
    "server_endpoint": "vpn.example.com:31820",
    "allowed_ips": ["0.0.0.0/0", "::/0"],
    "dns": [],
    "persistent_keepalive": 25,
}
UNKNOWN = {"detail": "no peer has this public key"}
BUSY = {"detail": "the WireGuard interface is being restored; try again"}
FULL = {"detail": "No address is left."}
URL_SAFE = KEY.replace("+", "-").replace("/", "_")


def peer(server: respx.MockRouter, url: str, method: str) -> respx.Route:
    """The route of the one device at a gateway."""
    return server.request(method, f"{url}/v1/peers/{quote(URL_SAFE, safe='')}")


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


@pytest.mark.usefixtures("single")
async def test_a_device_gets_what_the_gateway_answers(server: respx.MockRouter, june: June) -> None:
    peers = server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
    answer = (await june.register()).json()
    assert (answer["address"], answer["allowedIPs"]) == ("10.77.0.2/32,fd77::2/128", "0.0.0.0/0,::/0")
    assert (answer["serverPublicKey"], answer["serverEndpoint"]) == ("the server's", "vpn.example.com:31820")
    assert len(base64.b64decode(answer["privateKey"])) == 32
    request = peers.calls.last.request
    assert request.headers["Authorization"] == "Bearer token-1"
    assert sent(peers)["public_key"] == answer["publicKey"]
    assert answer["privateKey"].encode() not in request.content


@pytest.mark.usefixtures("single")
async def test_a_device_that_is_let_in_within_a_second_is_registered(server: respx.MockRouter, june: June) -> None:
    server.post(f"{ONE}/v1/peers").respond(202, json=PEER)
    assert (await june.register()).json()["success"]


@pytest.mark.usefixtures("single")
async def test_the_name_is_a_label_that_begins_with_its_owner(server: respx.MockRouter, june: June) -> None:
    peers = server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
    answer = (await june.register("Ada's 📱")).json()
    assert (answer["device_name"], sent(peers)["name"]) == ("Ada's 📱", f"{ADAS}:Ada's 📱")
    await june.register("x" * 100)
    assert sent(peers)["name"] == f"{ADAS}:{'x' * 39}"
    await june.register(None)
    assert sent(peers)["name"] == f"{ADAS}:device"


def test_the_pages_command_tells_the_owner(tmp_path: Path) -> None:
    (command,) = console("docs/june.md", "Who asks")
    assert bash(command.replace("USER", "ada"), tmp_path, os.environ).strip() == ADAS


@pytest.mark.usefixtures("single")
async def test_a_device_leaves_after_a_week_or_the_time_that_is_set(
    server: respx.MockRouter, june: June, monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
    await june.register()
    assert sent(peers)["ttl_seconds"] == 7 * 86400
    monkeypatch.setenv("ORCHESTRATOR_DEVICE_TTL_SECONDS", "3600")
    await june.register()
    assert sent(peers)["ttl_seconds"] == 3600


@pytest.mark.parametrize("text", ["a week", "0", "59", "-1", "1e5", "315360001", "٣٦٠٠"])
def test_a_time_that_no_gateway_takes_is_refused_at_the_start(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DEVICE_TTL_SECONDS", text)
    with pytest.raises(SystemExit, match=r"^ORCHESTRATOR_DEVICE_TTL_SECONDS: '.*' is not 60 to 315360000 seconds"):
        create_app()


@pytest.mark.usefixtures("single")
async def test_a_refusal_reaches_the_app_with_its_own_sentence(server: respx.MockRouter, june: June) -> None:
    peers = server.post(f"{ONE}/v1/peers").respond(422, json={"detail": "The name is too long."})
    refused = await june.register()
    assert (refused.status_code, refused.json()["detail"]) == (422, "The name is too long.")
    peers.respond(401, json={})
    refused = await june.register()
    assert (refused.status_code, refused.json()["detail"]) == (502, "The VPN gateway refuses this service's token.")


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, text="<html>Bad gateway</html>"),
        httpx.Response(200, text="<html>Welcome</html>"),
        httpx.Response(200, json=["something else"]),
        httpx.Response(200, json={"status": "welcome"}),
        httpx.Response(204),
        httpx.Response(301, headers={"Location": "https://elsewhere.test"}),
    ],
)
async def test_what_answers_in_place_of_a_gateway_has_let_nobody_in(
    answer: httpx.Response, server: respx.MockRouter, june: June
) -> None:
    server.post(f"{ONE}/v1/peers").mock(return_value=answer)
    refused = await june.register()
    assert (refused.status_code, refused.json()["detail"]) == (502, "The VPN gateway refused.")


async def test_without_a_gateway_the_answer_names_what_is_missing(june: June) -> None:
    for refused in (await june.register(), await june.unregister()):
        assert refused.status_code == 503
        assert "GATEWAY_PEERS_URL and GATEWAY_PEERS_TOKEN are not set" in refused.json()["detail"]


@pytest.mark.usefixtures("several")
async def test_a_device_may_ask_for_a_gateway(server: respx.MockRouter, june: June) -> None:
    edge = server.post(f"{EDGE}/v1/peers").respond(201, json=PEER)
    assert (await june.register(gateway="edge-2")).is_success
    assert edge.calls.last.request.headers["Authorization"] == "Bearer token-2"
    refused = await june.register(gateway="other")
    assert refused.status_code == 404
    assert refused.json()["detail"] == "There is no VPN gateway 'other': there are one, edge-2."


@pytest.mark.usefixtures("single")
async def test_a_single_gateway_needs_no_name(june: June) -> None:
    refused = await june.register(gateway="other")
    assert refused.status_code == 404
    assert refused.json()["detail"] == "There is no VPN gateway 'other': there is only one, which needs no name."


class TestSeveralGateways:
    """Each may fail for itself."""

    @pytest.fixture(autouse=True)
    def impatient(self, several: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gateways, "TAKE_BACK_AFTER_S", (0, 0, 0))

    async def test_the_first_that_can_takes_the_device(self, server: respx.MockRouter, june: June) -> None:
        one = server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
        edge = server.post(f"{EDGE}/v1/peers").respond(201, json=PEER)
        assert (await june.register()).is_success
        assert (one.call_count, edge.call_count) == (1, 0)
        for failure in (httpx.Response(507, json=FULL), httpx.Response(429, json=BUSY)):
            one.mock(return_value=failure)
            assert (await june.register()).is_success
            assert sent(one) == sent(edge)  # with the same key
        assert edge.call_count == 2
        one.mock(return_value=httpx.Response(422, json={"detail": "The name is too long."}))
        assert (await june.register()).status_code == 422
        assert edge.call_count == 2

    async def test_none_can(self, server: respx.MockRouter, june: June) -> None:
        server.post(f"{ONE}/v1/peers").mock(side_effect=httpx.ConnectError)
        edge = server.post(f"{EDGE}/v1/peers").respond(507, json=FULL)
        refused = await june.register()
        assert (refused.status_code, refused.json()["detail"]) == (
            503,
            "The VPN gateway does not answer; try again soon.",
        )
        server.post(f"{ONE}/v1/peers").respond(507, json=FULL)
        refused = await june.register()
        assert (refused.status_code, refused.json()["detail"]) == (507, "No address is left.")
        assert edge.call_count == 2

    @pytest.mark.parametrize("elsewhere", [201, 507])
    async def test_what_a_failing_gateway_may_have_kept_is_taken_back(
        self, elsewhere: int, server: respx.MockRouter, june: June
    ) -> None:
        one = server.post(f"{ONE}/v1/peers").mock(side_effect=httpx.ReadTimeout)
        server.post(f"{EDGE}/v1/peers").respond(elsewhere, json=PEER if elsewhere == 201 else FULL)
        answers: list[httpx.Response | type[Exception]] = [
            httpx.ReadTimeout,
            httpx.Response(503, json=BUSY),
            httpx.Response(204),
        ]
        gone = server.delete(url__startswith=f"{ONE}/v1/peers/").mock(side_effect=answers)
        assert (await june.register()).is_success == (elsewhere == 201)
        await june.until_taken_back()
        assert gone.call_count == 3
        key = sent(one)["public_key"].replace("+", "-").replace("/", "_")
        assert gone.calls.last.request.url.path.endswith(f"/{key}")

    async def test_a_gateway_that_has_heard_nothing_is_not_bothered(
        self, server: respx.MockRouter, june: June, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = server.post(f"{ONE}/v1/peers").mock(side_effect=httpx.ConnectTimeout)
        server.post(f"{EDGE}/v1/peers").respond(201, json=PEER)
        assert (await june.register()).is_success
        assert not june.service.state.gateways.taking_back
        one.respond(503, json=BUSY)
        gone = server.delete(url__startswith=f"{ONE}/v1/peers/").respond(404, json=UNKNOWN)
        assert (await june.register()).is_success
        await june.until_taken_back()
        assert (gone.call_count, caplog.messages) == (1, [])

    async def test_what_cannot_be_taken_back_is_logged(
        self, server: respx.MockRouter, june: June, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = server.post(f"{ONE}/v1/peers").respond(500, json=BUSY)
        server.post(f"{EDGE}/v1/peers").respond(201, json=PEER)
        server.delete(url__startswith=f"{ONE}/v1/peers/").mock(side_effect=httpx.ConnectError)
        await june.register()
        await june.until_taken_back()
        key = sent(one)["public_key"]
        assert f"the gateway at {ONE} may have device {key} until its ttl is over" in caplog.messages

    async def test_a_device_is_shut_out_wherever_it_is(self, server: respx.MockRouter, june: June) -> None:
        gone = []
        for url in (ONE, EDGE):
            peer(server, url, "GET").respond(json=PEER)
            gone.append(peer(server, url, "DELETE").respond(204))
        assert (await june.unregister()).is_success
        assert [route.call_count for route in gone] == [1, 1]

    async def test_a_device_that_nobody_has_any_more_is_unregistered(
        self, server: respx.MockRouter, june: June
    ) -> None:
        peer(server, ONE, "GET").respond(404, json=UNKNOWN)
        peer(server, EDGE, "GET").respond(json=PEER)
        peer(server, EDGE, "DELETE").respond(404, json=UNKNOWN)
        assert (await june.unregister()).is_success

    @pytest.mark.parametrize(
        "away",
        [
            httpx.ConnectError,
            httpx.ReadTimeout,
            httpx.Response(404, text="default backend"),
            httpx.Response(200, text="<html>Welcome</html>"),
            httpx.Response(401, json={}),
        ],
    )
    async def test_the_others_are_asked_when_one_may_still_have_it(
        self, away: type[Exception] | httpx.Response, server: respx.MockRouter, june: June
    ) -> None:
        peer(server, ONE, "GET").mock(side_effect=[away])
        peer(server, EDGE, "GET").respond(json=PEER)
        gone = peer(server, EDGE, "DELETE").respond(204)
        refused = await june.unregister()
        assert refused.status_code == (502 if isinstance(away, httpx.Response) else 503)
        assert gone.call_count == 1

    @pytest.mark.parametrize("answer", [httpx.Response(200, json={}), httpx.Response(404, json={})])
    async def test_only_a_gateway_says_that_a_device_is_out(
        self, answer: httpx.Response, server: respx.MockRouter, june: June
    ) -> None:
        peer(server, ONE, "GET").respond(json=PEER)
        peer(server, ONE, "DELETE").mock(return_value=answer)
        peer(server, EDGE, "GET").respond(404, json=UNKNOWN)
        assert (await june.unregister()).status_code == 502

    async def test_a_device_that_could_not_be_shut_out_is_said_to_be_there(
        self, server: respx.MockRouter, june: June
    ) -> None:
        peer(server, ONE, "GET").respond(json=PEER)
        peer(server, ONE, "DELETE").respond(503, json=BUSY)
        peer(server, EDGE, "GET").respond(404, json=UNKNOWN)
        refused = await june.unregister()
        assert (refused.status_code, refused.json()["detail"]) == (503, BUSY["detail"])


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("device_id", [KEY, quote(KEY, safe=""), URL_SAFE])
async def test_a_key_is_understood_however_the_app_writes_it(
    device_id: str, server: respx.MockRouter, june: June
) -> None:
    peer(server, ONE, "GET").respond(json=PEER)
    gone = peer(server, ONE, "DELETE").respond(204)
    assert (await june.unregister(device_id)).is_success
    assert gone.called


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("device_id", ["", "..", "phone", KEY[:-1], f"../{KEY}", f"{KEY}%0A"])
async def test_what_is_no_key_reaches_no_gateway(device_id: str, server: respx.MockRouter, june: June) -> None:
    refused = await june.unregister(device_id)
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("device_id names no device")
    assert not server.calls


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("name", ["phone", "", None, ADAS, f" {ADAS}:phone"])
async def test_nobody_unregisters_what_is_not_theirs(name: str | None, server: respx.MockRouter, june: June) -> None:
    peer(server, ONE, "GET").respond(json=PEER | {"name": name})
    refused = await june.unregister()
    assert (refused.status_code, refused.json()["detail"]) == (403, "This device is not yours.")
    peer(server, ONE, "GET").respond(json=PEER)
    assert (await june.unregister(user="ad")).status_code == 403
    assert [call.request.method for call in server.calls] == ["GET", "GET"]


@pytest.mark.usefixtures("single")
async def test_who_is_not_known_gets_nothing(
    server: respx.MockRouter, june: June, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await june.register(user="")).status_code == 401
    assert (await june.unregister(user="")).status_code == 401
    # The app's own header beside the one of a proxy that only adds.
    twice = [("X-Forwarded-User", "ada"), ("X-Forwarded-User", "eve")]
    assert (await june.http.post("/api/v1/device/register", json={}, headers=twice)).status_code == 401
    monkeypatch.delenv("ORCHESTRATOR_USER_HEADER")
    refused = await june.register()
    assert refused.status_code == 503
    assert "ORCHESTRATOR_USER_HEADER" in refused.json()["detail"]
    assert not server.calls


@pytest.mark.usefixtures("single")
async def test_all_calls_share_one_tls_context(monkeypatch: pytest.MonkeyPatch, server: respx.MockRouter) -> None:
    made: list[ssl.SSLContext] = []
    make = ssl.create_default_context

    def counted() -> ssl.SSLContext:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(ssl, "create_default_context", counted)
    server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
    async with running() as june:
        for _ in range(3):
            assert (await june.register()).is_success
    assert len(made) == 1


@pytest.mark.usefixtures("single")
async def test_no_proxy_of_the_environment_sees_the_token(
    monkeypatch: pytest.MonkeyPatch, server: respx.MockRouter
) -> None:
    # A client that looked at it could not be made.
    monkeypatch.setenv("HTTP_PROXY", "ftp://proxy.test")
    server.post(f"{ONE}/v1/peers").respond(201, json=PEER)
    async with running() as june:
        assert (await june.register()).is_success


@pytest.mark.usefixtures("several")
async def test_a_device_by_openvpn_gets_a_profile_with_its_key(server: respx.MockRouter, june: June) -> None:
    missing = {"detail": "this gateway does not offer openvpn", "field": "protocol"}
    first = server.post(f"{ONE}/v1/peers").respond(422, json=missing)
    second = server.post(f"{EDGE}/v1/peers").respond(201, json={**PEER, "profile": "client\n"})
    answer = (await june.register(access="openvpn")).json()
    assert first.called
    request = x509.load_pem_x509_csr(sent(second)["certificate_request"].encode())
    assert request.is_signature_valid
    assert sent(second)["protocol"] == "openvpn"
    profile, _, key = answer["profile"].partition("<key>\n")
    assert profile == "client\n"
    private = serialization.load_pem_private_key(key.removesuffix("</key>\n").encode(), None)
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = private.public_key().public_bytes(*form)
    assert public == request.public_key().public_bytes(*form)
    assert base64.b64decode(answer["publicKey"]) == hashlib.sha256(public).digest()


@pytest.mark.usefixtures("several")
async def test_a_device_of_wireguard_passes_over_a_gateway_without_it(server: respx.MockRouter, june: June) -> None:
    missing = {"detail": "this gateway does not offer wireguard", "field": "protocol"}
    first = server.post(f"{ONE}/v1/peers").respond(422, json=missing)
    server.post(f"{EDGE}/v1/peers").respond(201, json=PEER)
    assert (await june.register()).json()["serverPublicKey"] == "the server's"
    assert first.called


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize(
    ("system", "kind"),
    [
        ("iOS 19", "mobileconfig"),
        ("macOS", "mobileconfig"),
        ("Android", "sswan"),
        ("Windows", "powershell"),
        (None, "swanctl"),
    ],
)
async def test_a_device_by_ipsec_gets_the_profile_of_its_system(
    server: respx.MockRouter, june: June, system: str | None, kind: str
) -> None:
    asked = server.post(f"{ONE}/v1/peers").respond(201, json={**PEER, "id": KEY, "profile": "a file"})
    answer = (await june.register(access="ipsec", system=system)).json()
    assert (answer["publicKey"], answer["profile"], answer["profileFormat"]) == (KEY, "a file", kind)
    told = sent(asked)
    assert (told["protocol"], told["make_key"], told["profile_format"]) == ("ipsec", True, kind)


@pytest.mark.usefixtures("single")
async def test_a_way_that_nobody_offers_is_told_to_the_app(server: respx.MockRouter, june: June) -> None:
    missing = {"detail": "this gateway does not offer openvpn", "field": "protocol"}
    server.post(f"{ONE}/v1/peers").respond(422, json=missing)
    answer = await june.register(access="openvpn")
    assert (answer.status_code, answer.json()["detail"]) == (422, missing["detail"])
    assert (await june.register(access="pptp")).status_code == 422
