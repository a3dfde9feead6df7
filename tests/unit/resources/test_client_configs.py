"""ClientConfigs: losses are told or refused, with the number of devices where a gateway can be asked."""

import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from infra.kubernetes.client import ClusterUnavailableError
from infra.resources import registered_devices
from infra.resources.client_configs import ClientConfigsProvider
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import UNKNOWN, Connect, FakeConnections

KEY = "the public key"
METRICS = "# TYPE meshgate_peers gauge\nmeshgate_peers {}\nmeshgate_peers_resting 3.0\n"
UNMOVED = "meshgate_peers_on_previous_key {}\n"
LOST = "gateway one: its WireGuard key becomes another one, so its devices by WireGuard would need new configs"
ENDS = "gateway one: the WireGuard key before the present one ends"
REFUSED = "`protect: false` in the stack's settings allows that (docs/policies.md)."


def inputs(*, protect: bool = False, url: str = "https://a.example.com", **one: object) -> dict[str, Any]:
    held = {
        "dialled": {"wireguard": ["vpn.example.com:31820"]},
        "client_networks": ["10.77.0.0/16"],
        "allowed_ips": ["0.0.0.0/0", "::/0"],
        "public_key": KEY,
        "asked_at": "meshgate/meshgate-one",
    }
    return {"gateways": {"one": held | one}, "headscale_url": url, "protect": protect}


@pytest.fixture(autouse=True)
def _in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registered_devices, "DEADLINE_SECONDS", 1.0)


def metrics(cluster: FakeCluster, value: str, unmoved: str = "") -> None:
    """What the gateway tells; without `unmoved` it has one key."""
    told = METRICS.format(value) + (UNMOVED.format(unmoved) if unmoved else "")
    cluster.add_deployment("meshgate", "meshgate-one", {"agent": []})
    cluster.commands["python3", "-c", registered_devices._ASK] = lambda: told


def under_way(*, protect: bool = True) -> dict[str, Any]:
    """While a key is kept beside its successor."""
    previous: object = {"public_key": "the key before", "endpoint": "vpn.example.com:31999"}
    return inputs(protect=protect, previous=previous)


def test_who_uses_a_rotated_key_is_told_each_time(
    connect: Connect, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    metrics(cluster, "12.0", "3.0")
    with caplog.at_level(logging.WARNING, "meshgate"):
        result = connect(ClientConfigsProvider).check(under_way(), under_way())
    assert (result.inputs, result.failures) == (under_way(), [])
    assert caplog.messages == [
        "gateway one: the WireGuard key before the present one works until `previous_key` is taken out; devices that "
        "still use it: 3 of 12."
    ]


@pytest.mark.parametrize(("unmoved", "refused"), [("3.0", True), ("0.0", False)])
def test_under_protect_a_previous_key_ends_when_nobody_uses_it(
    connect: Connect, cluster: FakeCluster, unmoved: str, refused: bool
) -> None:
    metrics(cluster, "12.0", unmoved)
    result = connect(ClientConfigsProvider).check(under_way(), inputs(protect=True))
    told = f"{ENDS}, and devices that still use it (3 of 12) would need new configs."
    assert [failure.reason for failure in result.failures] == ([f"{told} {REFUSED}"] if refused else [])
    assert result.inputs.get("lost", []) == ([told] if refused else [])


def test_a_gateway_that_does_not_have_two_keys_yet_cannot_say_that_nobody_uses_the_old_one(
    connect: Connect, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as a machine whose playbook has not run since `pulumi up`."""
    metrics(cluster, "12.0")
    with caplog.at_level(logging.WARNING, "meshgate"):
        connect(ClientConfigsProvider).check(under_way(), under_way())
    assert caplog.messages == [
        "gateway one: the WireGuard key before the present one works until `previous_key` is taken out."
    ]
    result = connect(ClientConfigsProvider).check(under_way(), inputs(protect=True))
    told = f"{ENDS}, and devices that still use it would need new configs."
    assert [failure.reason for failure in result.failures] == [f"{told} {REFUSED}"]


def test_a_previous_key_ends_unasked_where_nobody_can_tell_who_uses_it(connect: Connect) -> None:
    result = connect(ClientConfigsProvider).check(under_way(protect=False), inputs())
    assert result.inputs["lost"] == [f"{ENDS}, and devices that still use it would need new configs."]


def test_nothing_is_asked_where_nothing_is_lost(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = connect(ClientConfigsProvider)
    monkeypatch.setattr(registered_devices, "_count", lambda *_: pytest.fail("asked"))
    for olds, news in [
        ({}, inputs(protect=True)),
        (inputs(), inputs(protect=True)),
        (inputs(), inputs(asked_at="elsewhere/meshgate-one")),
        (inputs(allowed_ips=["192.0.2.0/24"]), inputs(protect=True)),
    ]:
        result = provider.check(olds, news)
        assert (result.inputs, result.failures) == (news, [])


def test_a_loss_is_told_with_the_number_of_devices(
    connect: Connect, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    metrics(cluster, "12.0")
    news = inputs(public_key=UNKNOWN)
    with caplog.at_level(logging.WARNING, "meshgate"):
        result = connect(ClientConfigsProvider).check(inputs(), news)
    sentence = f"{LOST} (the gateway has 12 in all)."
    assert (result.inputs, result.failures) == ({**news, "lost": [sentence]}, [])
    assert caplog.messages == [sentence]


def test_under_protect_a_loss_is_refused(connect: Connect, cluster: FakeCluster) -> None:
    metrics(cluster, "1.0")
    news = inputs(protect=True, url="https://b.example.com", client_networks=["10.77.0.0/24"])
    result = connect(ClientConfigsProvider).check(inputs(protect=True), news)
    assert [failure.reason.split(", ")[0] for failure in result.failures] == [
        "gateway one: `client_networks` become 10.77.0.0/24",
        "`headscale.url` changes from https://a.example.com to https://b.example.com",
    ]
    assert all(failure.reason.endswith(REFUSED) for failure in result.failures)
    assert "so its devices would need new configs (the gateway has 1 in all)." in result.failures[0].reason


@pytest.mark.parametrize("gateways", [{}, inputs(public_key="another")["gateways"]])
def test_under_protect_the_engine_refuses_what_ends_with_a_resource(
    connect: Connect, caplog: pytest.LogCaptureFixture, gateways: dict[str, object]
) -> None:
    """It lets that go by name (`pulumi state unprotect`); here it is told."""
    with caplog.at_level(logging.WARNING, "meshgate"):
        result = connect(ClientConfigsProvider).check(
            inputs(protect=True), inputs(protect=True) | {"gateways": gateways}
        )
    assert result.failures == []
    assert result.inputs["lost"] == caplog.messages != []


def test_a_change_is_an_update_and_the_number_of_the_last_one_is_no_change(connect: Connect) -> None:
    provider = connect(ClientConfigsProvider)
    made = provider.create(inputs())
    assert made.outs
    diff = provider.diff(made.id, made.outs, inputs(public_key="another"))
    assert (diff.changes, diff.replaces) == (True, [])
    updated = provider.update(made.id, made.outs, inputs(public_key="another") | {"lost": ["something"]}).outs
    assert updated
    assert not provider.diff(made.id, updated, inputs(protect=True, public_key="another")).changes


@pytest.mark.parametrize("illness", ["away", "silent", "slow", "another program"])
def test_a_gateway_that_cannot_be_asked_holds_nothing_up(
    server: FakeHeadscale, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, illness: str
) -> None:
    monkeypatch.setattr(registered_devices, "DEADLINE_SECONDS", 0.05)
    metrics(cluster, "12.0")
    over = threading.Event()

    def answer() -> str:
        if illness == "away":
            raise ClusterUnavailableError("The cluster cannot be reached.")
        if illness == "silent":
            raise OSError("a websocket's own error")
        if illness == "slow":
            over.wait(5)
        return METRICS.format("many" if illness == "another program" else "12.0")

    cluster.commands["python3", "-c", registered_devices._ASK] = answer
    provider = ClientConfigsProvider()
    provider.connect = lambda: FakeConnections(server, cluster)
    begun = time.monotonic()
    result = provider.check(inputs(), inputs(public_key="another"))
    assert time.monotonic() - begun < 2
    assert result.inputs["lost"] == [f"{LOST}."]
    over.set()


@pytest.fixture
def machine() -> Iterator[str]:
    """The URL of a machine's metrics."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(METRICS.format("7.0").encode())

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/metrics"
        http.shutdown()
        thread.join()


def test_a_machine_is_asked_itself_and_no_proxy(
    connect: Connect, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    news = inputs() | {"gateways": {}}
    result = connect(ClientConfigsProvider).check(inputs(asked_at=machine), news)
    assert result.inputs["lost"] == [
        "gateway one: `gateways` does not have it any more, so its devices would need new configs (the gateway has 7 "
        "in all)."
    ]
