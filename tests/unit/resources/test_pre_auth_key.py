from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.headscale import markers
from infra.resources.base import ResourceError
from infra.resources.pre_auth_key import PreAuthKeyProvider
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_connections import UNKNOWN, Connect

INPUTS: dict[str, Any] = {
    "server": FakeHeadscale.url,
    "user": "meshgate-lab",
    "owner": "gw",
    "hostname": "meshgate-gw",
    "reusable": False,
    "ephemeral": False,
    "tags": ["tag:gateway"],
    "expiration_hours": 1.0,
    "key": None,
    "expires_at": None,
    "server_key": None,
}


@pytest.fixture
def provider(connect: Connect, server: FakeHeadscale) -> PreAuthKeyProvider:
    server.users["meshgate-lab"] = 99
    return connect(PreAuthKeyProvider)


def _usable(server: FakeHeadscale) -> list[int]:
    now = datetime.now(UTC)
    return [key.id for key in server.keys.values() if not key.used and key.expiration > now]


def test_life(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert _usable(server) == [int(made.id)]
    key = server.keys[int(made.id)]
    assert made.outs["key"] == key.secret
    assert (key.user, key.tags, key.reusable, key.ephemeral) == ("meshgate-lab", ["tag:gateway"], False, False)
    assert abs(key.expiration - datetime.now(UTC) - timedelta(hours=1)) < timedelta(seconds=30)
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes
    assert provider.read(made.id, made.outs).outs == made.outs
    provider.delete(made.id, made.outs)
    assert not _usable(server)
    provider.delete(made.id, made.outs)


def test_what_a_killed_run_left_is_removed(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    other = provider.create({**INPUTS, "owner": "another gateway"})
    provider.create(dict(INPUTS))
    made = provider.create(dict(INPUTS))
    assert _usable(server) == [int(other.id), int(made.id)]


def test_used_key_stays_with_its_node(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    server.join(made.outs["key"], "gw")
    assert provider.read(made.id, made.outs).id == made.id
    provider.create({**INPUTS, "tags": []})
    assert int(made.id) in server.keys
    server.nodes.clear()
    assert provider.read(made.id, made.outs).id == ""


def test_gone_when_expired_unused_or_removed(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    server.keys[int(made.id)].expiration = datetime.now(UTC)
    assert provider.read(made.id, made.outs).id == ""
    server.keys.clear()
    assert provider.read(made.id, made.outs).id == ""
    server.users.clear()
    assert provider.read(made.id, made.outs).id == ""
    provider.delete(made.id, made.outs)


def test_another_kind_of_key_is_a_new_one(provider: PreAuthKeyProvider) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    moved: dict[str, object] = {"server": "https://elsewhere.example.com"}
    changes: list[dict[str, object]] = [
        moved,
        {"volume": "another"},
        {"user": "other"},
        {"reusable": True},
        {"user": UNKNOWN},
    ]
    for change in changes:
        assert provider.diff(made.id, made.outs, {**INPUTS, **change}).replaces == [*change]
    assert not provider.diff(made.id, made.outs, {**INPUTS, "expiration_hours": 2.0}).changes


def test_other_tags_are_for_the_next_key_of_a_pod(provider: PreAuthKeyProvider) -> None:
    """Its node has joined, and gets them by ExitNode. A machine may still use its key."""
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert not provider.diff(made.id, made.outs, {**INPUTS, "tags": []}).changes
    assert provider.diff(made.id, made.outs, {**INPUTS, "tags": [], "awaited": True}).replaces == ["tags"]


def test_a_used_key_is_gone_when_its_node_does_not_work(
    provider: PreAuthKeyProvider, server: FakeHeadscale, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record of a node whose volume was lost lets nobody in."""
    monkeypatch.setattr("gateway.headscale.pre_auth_keys.GRACE_SECONDS", 0)
    made = provider.create(dict(INPUTS))
    assert made.outs
    server.join(made.outs["key"], "meshgate-gw")
    (node,) = server.nodes.values()
    node.online = False
    assert provider.read(made.id, made.outs).id == ""
    machine = {**made.outs, "awaited": True}
    assert provider.read(made.id, machine).id == made.id, "a machine may be switched off"
    node.online, node.expiry = True, datetime.now(UTC)
    assert provider.read(made.id, made.outs).id == ""
    assert provider.read(made.id, machine).id == ""


def test_a_node_that_is_away_for_a_moment_is_no_loss(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    server.join(made.outs["key"], "meshgate-gw")
    (node,) = server.nodes.values()
    node.online = False

    def back(request: httpx.Request) -> None:
        node.online = request.url.path.endswith(f"node/{node.id}")

    server.fail = back
    assert provider.read(made.id, made.outs).id == made.id


@pytest.mark.parametrize("tags", [[], ["tag:gateway"]])
def test_a_used_key_that_an_admin_removed_is_no_loss(
    provider: PreAuthKeyProvider, server: FakeHeadscale, tags: list[str]
) -> None:
    made = provider.create({**INPUTS, "tags": tags})
    assert made.outs
    server.join(made.outs["key"], "meshgate-gw")
    (node,) = server.nodes.values()
    server.keys.clear()
    node.key = None
    assert provider.read(made.id, made.outs).id == made.id
    node.name = "somebody-else"
    assert provider.read(made.id, made.outs).id == ""


def test_the_node_of_another_stack_is_not_this_ones(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    """Both have a gateway of that name."""
    server.users["meshgate-other"] = 98
    other = provider.create({**INPUTS, "user": "meshgate-other", "tags": []})
    made = provider.create({**INPUTS, "tags": []})
    assert other.outs
    assert made.outs
    server.join(other.outs["key"], "meshgate-gw")
    server.keys[int(made.id)].expiration = datetime.now(UTC)
    assert provider.read(made.id, made.outs).id == ""


def test_no_key_is_removed_on_another_server(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    elsewhere = {**made.outs, "server_key": f"mkey:{8:064x}"}
    provider.delete(made.id, elsewhere)
    assert int(made.id) in server.keys
    assert provider.read(made.id, elsewhere).id == ""


def test_key_of_a_machine_that_missed_it_is_made_anew(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    inputs = {**INPUTS, "awaited": True}
    made = provider.create(dict(inputs))
    assert made.outs
    server.calls.clear()
    assert not provider.diff(made.id, made.outs, inputs).changes
    assert not server.calls, "only a key that has expired is looked at"

    server.keys[int(made.id)].expiration -= timedelta(hours=2)
    olds = {**made.outs, "expires_at": server.keys[int(made.id)].expiration.isoformat()}
    assert not provider.diff(made.id, olds, dict(INPUTS)).changes, "a pod has used its key, or failed at once"
    assert provider.diff(made.id, olds, inputs).replaces
    server.fail = lambda _: httpx.Response(500)
    assert not provider.diff(made.id, olds, inputs).changes, "it cannot be told now"


def test_used_key_outlives_its_expiry(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    inputs = {**INPUTS, "awaited": True}
    made = provider.create(dict(inputs))
    assert made.outs
    server.join(made.outs["key"], "gw")
    server.keys[int(made.id)].expiration -= timedelta(hours=2)
    olds = {**made.outs, "expires_at": server.keys[int(made.id)].expiration.isoformat()}
    assert not provider.diff(made.id, olds, inputs).changes


def test_new_key_of_a_machine_that_has_joined_may_expire(provider: PreAuthKeyProvider, server: FakeHeadscale) -> None:
    """Its node came by an earlier key of the same owner, which stays for that node's sake."""
    inputs = {**INPUTS, "awaited": True, "tags": []}
    first = provider.create({**inputs, "tags": ["tag:gateway"]})
    assert first.outs
    server.join(first.outs["key"], "gw")
    second = provider.create(dict(inputs))
    assert second.outs
    provider.delete(first.id, first.outs)
    assert int(first.id) in server.keys
    server.keys[int(second.id)].expiration -= timedelta(hours=2)
    olds = {**second.outs, "expires_at": server.keys[int(second.id)].expiration.isoformat()}
    assert not provider.diff(second.id, olds, inputs).changes
    assert provider.read(second.id, olds).id == second.id

    server.nodes.clear()
    provider.delete(second.id, second.outs)
    if server.version == "0.29":
        assert not server.keys, "with the node gone the spent key goes along"


def test_bad_inputs_are_refused(provider: PreAuthKeyProvider) -> None:
    result = provider.check({}, {**INPUTS, "tags": ["tag:ok", "gateway"], "expiration_hours": 0.0})
    assert [failure.property for failure in result.failures] == ["tags", "expiration_hours"]
    assert "'gateway' is not a tag" in result.failures[0].reason
    assert not provider.check({}, {**INPUTS, "tags": UNKNOWN, "expiration_hours": UNKNOWN}).failures


def test_unknown_user(provider: PreAuthKeyProvider) -> None:
    with pytest.raises(ResourceError, match="no user 'nobody'"):
        provider.create({**INPUTS, "user": "nobody"})


def test_marks_tell_owners_apart() -> None:
    moment = markers.expiration("gw", after=timedelta(hours=1))
    assert markers.is_marked(moment, "gw")
    assert not markers.is_marked(moment, "gw2")
    assert not markers.is_marked(None, "gw")
