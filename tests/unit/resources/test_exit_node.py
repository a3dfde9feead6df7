import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.models import PreAuthKey
from infra.kubernetes import pod_logs
from infra.resources.exit_node import ExitNodeProvider
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import UNKNOWN, Connect

USER = "meshgate-lab"
SUBNET = "10.9.0.0/24"
SERVER_KEY = f"mkey:{7:064x}"


@pytest.fixture
def provider(connect: Connect, cluster: FakeCluster) -> ExitNodeProvider:
    cluster.add_deployment("meshgate", "gw", {"tailscale": []})
    return connect(ExitNodeProvider)


@pytest.fixture
def new_key(provider: ExitNodeProvider) -> Callable[..., PreAuthKey]:
    def new_key(*, minutes: float = 60, tags: tuple[str, ...] = ()) -> PreAuthKey:
        with provider.connect() as connections, connections.headscale() as headscale:
            end = datetime.now(UTC) + timedelta(minutes=minutes)
            return headscale.create_pre_auth_key(headscale.ensure_user(USER), expiration=end, tags=tags)

    return new_key


@pytest.fixture
def inputs(new_key: Callable[..., PreAuthKey], server: FakeHeadscale) -> dict[str, Any]:
    """Those of a gateway whose node has joined."""
    key = new_key()
    server.join(key.key.get_secret_value(), "gw")
    return _inputs(key)


def _inputs(key: PreAuthKey, *tags: str) -> dict[str, Any]:
    return {
        "server": FakeHeadscale.url,
        "pre_auth_key_id": key.id,
        "user": USER,
        "hostname": "gw",
        "tags": list(tags),
        "namespace": "meshgate",
        "deployment": "gw",
        "container": "tailscale",
        "deadline_seconds": 0.05,
        "node_id": None,
        "node_name": None,
        "addresses": None,
        "node_key": None,
        "routes": None,
        "node_tags": None,
        "why": None,
        "server_key": None,
    }


def test_create_approves_both_exit_routes(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale
) -> None:
    server.calls.clear()
    made = provider.create(inputs)
    (node,) = server.nodes.values()
    assert set(node.approved) == set(EXIT_ROUTES)
    assert made.outs == {
        **inputs,
        "node_id": str(node.id),
        "node_name": "gw",
        "addresses": [f"100.64.0.{node.id}", f"fd7a:115c:a1e0::{node.id:x}"],
        "node_key": f"nodekey:{node.id:064x}",
        "routes": ["0.0.0.0/0", "::/0"],
        "node_tags": [],
        "why": "",
        "server_key": SERVER_KEY,
    }
    assert made.id == "gw"
    if server.version == "0.29":
        assert server.calls == ["GET node", "GET /key", f"POST node/{node.id}/approve_routes"]
    assert len(server.calls) <= 7


def test_other_approved_routes_are_left_alone(
    provider: ExitNodeProvider, new_key: Callable[..., PreAuthKey], server: FakeHeadscale
) -> None:
    key = new_key()
    server.join(key.key.get_secret_value(), "gw", (SUBNET, *EXIT_ROUTES))
    (node,) = server.nodes.values()
    node.approved = [SUBNET]
    made = provider.create(_inputs(key))
    assert set(node.approved) == {SUBNET, *EXIT_ROUTES}
    assert made.outs
    assert made.outs["routes"] == sorted(node.approved)


def test_create_adopts_what_a_killed_run_made(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale
) -> None:
    made = provider.create(dict(inputs))
    server.calls.clear()
    assert provider.create(dict(inputs)).outs == made.outs
    assert not any(call.startswith("POST") for call in server.calls)


def test_node_that_joined_by_an_earlier_key_is_adopted_by_name_and_owner(
    provider: ExitNodeProvider, inputs: dict[str, Any], new_key: Callable[..., PreAuthKey], server: FakeHeadscale
) -> None:
    (node,) = server.nodes.values()
    made = provider.create(_inputs(new_key()))
    assert made.outs
    assert made.outs["node_id"] == str(node.id)
    node.user = "somebody"
    server.users["somebody"] = 77
    node.key = None
    assert _failure(provider, _inputs(new_key()))


def test_read_tells_the_truth_by_few_calls(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale
) -> None:
    made = provider.create(inputs)
    assert made.outs
    server.calls.clear()
    read = provider.read(made.id, made.outs)
    assert (read.id, read.outs) == (made.id, made.outs)
    assert len(server.calls) == (2 if server.version >= "0.26" else 3)
    assert not provider.diff(made.id, made.outs, inputs).changes


def test_approval_taken_back_is_seen_and_repaired(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale
) -> None:
    made = provider.create(inputs)
    assert made.outs
    (node,) = server.nodes.values()
    node.approved = []
    seen = provider.read(made.id, made.outs).outs
    assert seen
    assert seen["routes"] == []
    diff = provider.diff(made.id, seen, inputs)
    assert diff.changes
    assert not diff.replaces
    repaired = provider.update(made.id, seen, inputs)
    assert repaired.outs == made.outs
    assert set(node.approved) == set(EXIT_ROUTES)


def test_deleted_node_is_gone(provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale) -> None:
    made = provider.create(inputs)
    assert made.outs
    provider.delete(made.id, made.outs)
    assert not server.nodes
    provider.delete(made.id, made.outs)
    assert provider.read(made.id, made.outs).id == ""


def test_new_key_leaves_the_node_as_it_is(
    provider: ExitNodeProvider, inputs: dict[str, Any], new_key: Callable[..., PreAuthKey], server: FakeHeadscale
) -> None:
    made = provider.create(inputs)
    assert made.outs
    news = _inputs(new_key())
    diff = provider.diff(made.id, made.outs, news)
    assert diff.changes
    assert not diff.replaces
    assert provider.diff(made.id, made.outs, {**inputs, "pre_auth_key_id": UNKNOWN}).changes
    changed = provider.update(made.id, made.outs, news)
    assert changed.outs
    assert changed.outs["node_id"] == made.outs["node_id"]
    assert len(server.nodes) == 1


def test_gateway_that_lost_its_volume_leaves_no_second_node(
    provider: ExitNodeProvider, inputs: dict[str, Any], new_key: Callable[..., PreAuthKey], server: FakeHeadscale
) -> None:
    made = provider.create(inputs)
    assert made.outs
    (old,) = server.nodes.values()
    old.online = False
    key = new_key(tags=("tag:gateway",))
    server.join(key.key.get_secret_value(), "gw")
    changed = provider.update(made.id, made.outs, _inputs(key))
    (node,) = server.nodes.values()
    assert changed.outs
    assert changed.outs["node_id"] == str(node.id) != made.outs["node_id"]
    assert changed.outs["node_name"] == node.given_name == "gw", "which the old one had until then"
    assert node.key
    assert str(node.key.id) == key.id


def test_server_that_restarts_meanwhile_is_waited_for(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.headscale.session.ATTEMPTS", 1)
    failures = [httpx.Response(502), httpx.Response(502)]
    server.fail = lambda _: failures.pop() if failures else None
    assert provider.create({**inputs, "deadline_seconds": 5.0}).outs


def _failure(provider: ExitNodeProvider, inputs: dict[str, Any]) -> str:
    return str((provider.create(inputs).outs or {})["why"])


def test_gateway_that_never_registers(
    provider: ExitNodeProvider, new_key: Callable[..., PreAuthKey], cluster: FakeCluster
) -> None:
    key = new_key()
    secret = key.key.get_secret_value()
    cluster.log = "\n".join([*(f"line {number}" for number in range(50)), f"register {secret}: connection refused"])
    text = _failure(provider, _inputs(key))
    first, *rest = text.splitlines()
    assert first == (
        "Gateway gw is no exit node of http://headscale.test after 0 s: "
        f"nobody has used its pre-auth key {key.id} yet, so tailscaled did not reach Headscale."
    )
    assert rest[0] == "What container tailscale of Deployment meshgate/gw logged of faults and last:"
    assert rest[-1] == "    register ***: connection refused"
    assert len(rest) == 1 + pod_logs.LINES


def test_why_a_gateway_is_no_exit_node(
    provider: ExitNodeProvider, new_key: Callable[..., PreAuthKey], server: FakeHeadscale
) -> None:
    key = new_key(minutes=-1)
    assert f"its pre-auth key {key.id} expired unused" in _failure(provider, _inputs(key))

    key = new_key()
    server.join(key.key.get_secret_value(), "gw", ())
    assert "does not advertise the exit routes (--advertise-exit-node)" in _failure(provider, _inputs(key))
    (node,) = server.nodes.values()
    node.online = False
    assert f"it registered as node {node.id}, which is offline" in _failure(provider, _inputs(key))
    server.nodes.clear()
    assert f"its pre-auth key {key.id} was used up by a node that is gone" in _failure(provider, _inputs(key))
    server.keys.clear()
    assert f"its pre-auth key {key.id} does not exist any more" in _failure(provider, _inputs(key))
    server.users.clear()
    assert f"user {USER} does not exist" in _failure(provider, _inputs(key))


def test_headscale_that_cannot_be_reached(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.headscale.session.ATTEMPTS", 1)
    server.fail = lambda _: httpx.Response(503)
    assert "is not available (503 Service Unavailable)." in _failure(provider, inputs)


def test_what_the_cluster_says_of_a_gateway(
    provider: ExitNodeProvider, new_key: Callable[..., PreAuthKey], cluster: FakeCluster
) -> None:
    key = new_key()
    assert "is empty: see `kubectl -n meshgate describe deployment gw`." in _failure(provider, _inputs(key))
    cluster.deployments.clear()
    said = _failure(provider, _inputs(key))
    assert said == "Gateway gw has not started, Deployment meshgate/gw: it does not exist."


def test_a_pod_that_does_not_start_is_told_of_before_anybody_joins(
    provider: ExitNodeProvider,
    new_key: Callable[..., PreAuthKey],
    cluster: FakeCluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infra.kubernetes.rollout.START_SECONDS", 0)
    cluster.rolls_out = cluster.starts = False
    assert _failure(provider, _inputs(new_key())) == (
        "Gateway gw has not started, Deployment meshgate/gw: 0 of 1 pods of the new version are ready; container "
        "tailscale of pod gw-1 waits: ImagePullBackOff no such image."
    )


def test_a_gateway_that_did_not_join_is_looked_for_again_and_leaves_no_node(
    provider: ExitNodeProvider, new_key: Callable[..., PreAuthKey], server: FakeHeadscale
) -> None:
    key = new_key()
    inputs = _inputs(key)
    failed = provider.create(dict(inputs)).outs or {}
    assert (failed["node_id"], failed["routes"]) == ("", [])
    assert (provider.read("gw", failed).outs or {})["why"] == failed["why"], "it has not joined meanwhile"
    assert provider.diff("gw", failed, inputs).changes
    server.join(key.key.get_secret_value(), "gw")
    seen = provider.read("gw", failed).outs or {}
    assert (seen["why"], seen["routes"]) == ("", [])
    for before in (failed, seen):
        joined = provider.update("gw", before, inputs).outs or {}
        assert (joined["why"], joined["routes"]) == ("", sorted(EXIT_ROUTES))
        assert not provider.diff("gw", joined, inputs).changes
    provider.delete("gw", failed)
    assert not server.nodes, "which joined after the last `up`"


def test_a_change_that_failed_is_told_until_it_is_made_or_taken_back(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale, new_key: Callable[..., PreAuthKey]
) -> None:
    made = provider.create(dict(inputs)).outs or {}
    moved = {**_inputs(new_key()), "volume": "another"}
    failed = provider.update("gw", made, moved).outs or {}
    assert failed == made | {"why": failed["why"], "volume": None}, "the node that it was is still known"
    for news in (moved, inputs):
        assert provider.diff("gw", failed, news).changes
    assert provider.update("gw", failed, inputs).outs == made
    provider.delete("gw", failed)
    assert not server.nodes


def test_an_expired_node_is_none(provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale) -> None:
    (node,) = server.nodes.values()
    node.online, node.expiry = False, datetime.now(UTC)
    assert f"it registered as node {node.id}, which has expired; `pulumi up --refresh`" in _failure(provider, inputs)


# Tags


def test_declared_tags_reach_a_node_that_has_joined(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale
) -> None:
    server.own_tags(("tag:one", "tag:two", "tag:by-hand"))
    made = provider.create(inputs).outs
    assert made
    (node,) = server.nodes.values()
    news = {**inputs, "tags": ["tag:one", "tag:two"]}
    assert provider.diff("gw", made, news).changes
    tagged = provider.update("gw", made, news).outs
    assert tagged
    assert node.tags == tagged["node_tags"] == ["tag:one", "tag:two"]
    assert not provider.diff("gw", tagged, news).changes

    node.tags = ["tag:by-hand"]
    seen = provider.read("gw", tagged).outs
    assert seen
    assert provider.diff("gw", seen, news).changes, "somebody took them back"
    tagged = provider.update("gw", seen, news).outs
    assert tagged
    fewer = {**inputs, "tags": ["tag:two"]}
    assert (provider.update("gw", tagged, fewer).outs or {})["node_tags"] == ["tag:two"]


def test_tags_that_the_policy_does_not_know_are_told_with_the_setting(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale
) -> None:
    news = {**inputs, "tags": ["tag:unknown"]}
    if server.version < "0.28":
        assert (provider.create(news).outs or {})["node_tags"] == ["tag:unknown"]
        return
    said = _failure(provider, news)
    assert re.search(r"not permitted.* `tags` must be among `tagOwners` of the mesh's policy", said)


def test_tags_of_somebody_elses_are_left_where_none_are_declared(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale
) -> None:
    server.own_tags(("tag:by-hand", "tag:ours"))
    (node,) = server.nodes.values()
    node.tags = ["tag:by-hand"]
    made = provider.create(inputs).outs
    assert made
    assert node.tags == ["tag:by-hand"]
    assert not provider.diff("gw", made, inputs).changes
    node.tags = ["tag:by-hand", "tag:ours"]
    before = {**made, "tags": ["tag:ours"], "node_tags": ["tag:by-hand", "tag:ours"]}
    assert provider.diff("gw", before, inputs).changes
    provider.update("gw", before, inputs)
    assert node.tags == ["tag:by-hand"], "those that we gave are taken back"


# Another Headscale


def test_nothing_is_deleted_on_another_server(
    provider: ExitNodeProvider, inputs: dict[str, Any], server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    """Its node of that number is somebody else's."""
    made = provider.create(inputs).outs
    assert made
    elsewhere = {**made, "server": "http://old.test", "server_key": f"mkey:{8:064x}"}
    assert provider.read("gw", elsewhere).id == ""
    provider.delete("gw", elsewhere)
    assert provider.update("gw", {**elsewhere, "node_id": "77"}, inputs).outs == made
    assert len(server.nodes) == 1
    assert [message.partition(" is left at ")[2] for message in caplog.messages] == [
        "http://old.test: that is another Headscale."
    ] * 2


@pytest.mark.parametrize("before", [{"server": "http://old.test"}, {"volume": "another"}])
def test_another_identity_joins_anew(
    before: dict[str, Any],
    provider: ExitNodeProvider,
    inputs: dict[str, Any],
    new_key: Callable[..., PreAuthKey],
    server: FakeHeadscale,
) -> None:
    """At the same server's new URL, or with a new volume. The node that was before looks connected for a while."""
    made = provider.create({**inputs, **before}).outs
    assert made
    assert provider.diff("gw", made, inputs).changes
    (old,) = server.nodes.values()
    key = new_key()
    failed = provider.update("gw", made, _inputs(key)).outs or {}
    assert f"nobody has used its pre-auth key {key.id} yet" in failed["why"]
    assert provider.update("gw", failed, _inputs(key)).outs == failed, "the second time, too"
    server.join(key.key.get_secret_value(), "gw")
    repaired = provider.update("gw", failed, _inputs(key)).outs or {}
    assert (repaired["node_id"] != str(old.id), repaired["why"]) == (True, "")
    assert old.id not in server.nodes


# A machine that joins in its own time


@pytest.fixture
def awaited(new_key: Callable[..., PreAuthKey]) -> tuple[dict[str, Any], str]:
    """The inputs of a machine that has not joined, and the key by which it will."""
    key = new_key()
    inputs = {**_inputs(key), "awaited": True, "namespace": None, "deployment": None, "container": None}
    return inputs, key.key.get_secret_value()


def test_machine_that_has_not_joined_is_no_failure(
    provider: ExitNodeProvider, awaited: tuple[dict[str, Any], str], caplog: pytest.LogCaptureFixture
) -> None:
    inputs, _ = awaited
    made = provider.create(inputs)
    nothing = {"node_id": "", "node_name": "", "addresses": [], "node_key": "", "routes": [], "node_tags": []}
    assert made.outs == {**inputs, **nothing, "why": ""}
    assert caplog.messages == ["Gateway gw has not joined yet: run the playbook, then `pulumi up` again."]
    diff = provider.diff(made.id, made.outs, inputs)
    assert diff.changes, "the next preview shows that something is to be done"
    assert not diff.replaces
    read = provider.read(made.id, made.outs)
    assert (read.id, read.outs) == (made.id, made.outs)
    assert provider.update(made.id, made.outs, inputs).outs == made.outs
    provider.delete(made.id, made.outs)


def test_machine_that_has_joined_since_is_found_and_approved(
    provider: ExitNodeProvider, awaited: tuple[dict[str, Any], str], server: FakeHeadscale
) -> None:
    inputs, secret = awaited
    made = provider.create(inputs)
    assert made.outs
    server.join(secret, "gw")
    (node,) = server.nodes.values()
    seen = provider.read(made.id, made.outs).outs
    assert seen
    assert (seen["node_id"], seen["routes"]) == (str(node.id), [])
    assert not node.approved, "a refresh only looks"
    for before in (made.outs, seen):
        updated = provider.update(made.id, before, inputs).outs
        assert updated
        assert (updated["node_id"], updated["routes"]) == (str(node.id), sorted(EXIT_ROUTES))
        assert not provider.diff(made.id, updated, inputs).changes
    assert set(node.approved) == set(EXIT_ROUTES)


def test_machine_that_is_off_keeps_its_node(
    provider: ExitNodeProvider,
    awaited: tuple[dict[str, Any], str],
    new_key: Callable[..., PreAuthKey],
    server: FakeHeadscale,
) -> None:
    inputs, secret = awaited
    server.join(secret, "gw")
    made = provider.create(inputs)
    assert made.outs
    (node,) = server.nodes.values()
    node.online = False
    changed = provider.update(made.id, made.outs, {**inputs, "pre_auth_key_id": new_key().id})
    assert changed.outs
    assert changed.outs["node_id"] == str(node.id)


def test_machine_that_is_no_exit_node_says_so(
    provider: ExitNodeProvider,
    awaited: tuple[dict[str, Any], str],
    server: FakeHeadscale,
    caplog: pytest.LogCaptureFixture,
) -> None:
    inputs, secret = awaited
    server.join(secret, "gw", ())
    made = provider.create(inputs)
    (node,) = server.nodes.values()
    assert made.outs
    assert (made.outs["node_id"], made.outs["routes"]) == (str(node.id), [])
    assert caplog.messages == [
        f"Gateway gw is no exit node of http://headscale.test: it registered as node {node.id} but does not advertise "
        "the exit routes (--advertise-exit-node)."
    ]


def test_machine_set_up_anew_takes_the_place_of_its_old_node(
    provider: ExitNodeProvider,
    awaited: tuple[dict[str, Any], str],
    new_key: Callable[..., PreAuthKey],
    server: FakeHeadscale,
) -> None:
    """Its playbook made a key by itself, since the stack's was used up."""
    inputs, secret = awaited
    server.join(secret, "gw")
    made = provider.create(inputs)
    assert made.outs
    (old,) = server.nodes.values()
    old.online = False
    server.join(new_key().key.get_secret_value(), "gw")
    (new,) = (node for node in server.nodes.values() if node is not old)
    changed = provider.update(made.id, made.outs, inputs).outs
    assert changed
    assert changed["node_id"] == str(new.id)
    assert list(server.nodes.values()) == [new]


def test_machine_that_joined_after_the_last_up_is_removed_too(
    provider: ExitNodeProvider, awaited: tuple[dict[str, Any], str], server: FakeHeadscale
) -> None:
    inputs, secret = awaited
    made = provider.create(inputs)
    server.join(secret, "gw")
    provider.delete(made.id, made.outs or {})
    assert not server.nodes


def test_pod_does_not_become_a_machine(
    provider: ExitNodeProvider, inputs: dict[str, Any], awaited: tuple[dict[str, Any], str]
) -> None:
    machine, _ = awaited
    for olds, news, kind in ((inputs, machine, "in the cluster"), (machine, inputs, "a machine")):
        (failure,) = provider.check(olds, news).failures
        assert failure.reason == f"gateway gw is {kind}, which cannot change: add one of another name in its place"
    for olds, news in (({}, machine), (machine, machine), (inputs, inputs), (inputs, {**inputs, "awaited": False})):
        assert not provider.check(olds, news).failures
