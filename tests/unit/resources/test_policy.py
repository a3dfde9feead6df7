"""The mesh's policy as a resource: set, compared by what it says, put back."""

import json

import pytest

from gateway.headscale.policy import ALLOW_ALL
from infra.resources.base import ResourceError
from infra.resources.policy import HeadscalePolicyProvider
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import Connect, FakeConnections

POLICY = '{"acls": [{"action": "accept", "src": ["a@", "b@"], "dst": ["c@:22"]}]}'
REORDERED = '{"acls": [{"dst": ["c@:22"], "src": ["b@", "a@"], "action": "accept",}]} // the same'
OTHER = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["c@:22"]}]}'
INPUTS = {"policy": POLICY, "before": None, "stored": None}


@pytest.fixture
def provider(connect: Connect) -> HeadscalePolicyProvider:
    return connect(HeadscalePolicyProvider)


def test_life_on_a_server_without_a_policy(
    provider: HeadscalePolicyProvider, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs == {"policy": POLICY, "before": "", "stored": POLICY}
    assert server.policy == POLICY
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes
    assert provider.read(made.id, made.outs).outs == made.outs
    provider.delete(made.id, made.outs)
    assert server.policy == ALLOW_ALL, "which says the same as none"
    assert "Headscale had no policy before this stack" in caplog.text


def test_what_was_there_before_is_put_back(provider: HeadscalePolicyProvider, server: FakeHeadscale) -> None:
    server.policy = OTHER
    made = provider.create(dict(INPUTS))
    assert made.outs
    changed = provider.update(made.id, made.outs, {**INPUTS, "policy": ALLOW_ALL})
    assert server.policy == ALLOW_ALL
    provider.delete(made.id, changed.outs or {})
    assert server.policy == OTHER


def test_a_policy_that_says_the_same_is_left_for_good(
    provider: HeadscalePolicyProvider, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    server.policy = REORDERED
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert "PUT policy" not in server.calls
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes
    provider.delete(made.id, made.outs)
    assert server.policy == REORDERED
    assert "it was there before this stack" in caplog.text


def test_another_order_is_no_change(provider: HeadscalePolicyProvider) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert not provider.diff(made.id, made.outs, {**INPUTS, "policy": REORDERED}).changes
    assert provider.diff(made.id, made.outs, {**INPUTS, "policy": OTHER}).changes


def test_drift_is_seen_by_refresh_and_repaired(provider: HeadscalePolicyProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    server.policy = REORDERED
    seen = provider.read(made.id, made.outs or {}).outs
    assert seen
    assert not provider.diff(made.id, seen, dict(INPUTS)).changes
    server.policy = OTHER
    seen = provider.read(made.id, made.outs or {}).outs
    assert seen
    assert provider.diff(made.id, seen, dict(INPUTS)).changes
    repaired = provider.update(made.id, seen, dict(INPUTS))
    assert (server.policy, repaired.outs) == (POLICY, made.outs)
    server.policy = None
    assert provider.read(made.id, made.outs or {}).id == "", "as after the loss of Headscale's database"


def test_what_somebody_changed_is_left_and_told(
    provider: HeadscalePolicyProvider, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider.create(dict(INPUTS))
    server.policy = OTHER
    provider.delete(made.id, made.outs or {})
    assert server.policy == OTHER
    assert "somebody has changed it since the last `pulumi up`" in caplog.text


def test_what_cannot_be_put_back_does_not_keep_the_stack(
    provider: HeadscalePolicyProvider, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    server.policy = '{"acls": [{"src": ["tag:gone"], "dst": ["*:*"]}]}'  # as an older version took it
    made = provider.create(dict(INPUTS))
    provider.delete(made.id, made.outs or {})
    assert server.policy == POLICY
    assert "the one before it cannot be put back" in caplog.text


def test_a_server_with_a_file_is_refused_in_the_preview(connect: Connect, server: FakeHeadscale) -> None:
    provider = connect(HeadscalePolicyProvider)
    for text in ("", OTHER):
        server.policy_file = text
        (failure,) = provider.check({}, dict(INPUTS)).failures
        assert failure.property == "policy"
        assert failure.reason == (
            "headscale.policy cannot be set: Headscale at http://headscale.test keeps its policy in a file; set "
            "policy.mode to database in its configuration and restart it, or leave the setting out and change the file."
        )
        with pytest.raises(ResourceError, match="keeps its policy in a file"):
            provider.create(dict(INPUTS))


def test_the_server_judges_in_the_preview_where_it_can(
    provider: HeadscalePolicyProvider, server: FakeHeadscale
) -> None:
    assert not provider.check({}, dict(INPUTS)).failures
    unowned = json.dumps({"acls": [{"action": "accept", "src": ["tag:a"], "dst": ["*:*"]}]})
    failures = provider.check({}, {**INPUTS, "policy": unowned}).failures
    if server.version == "0.29":
        (failure,) = failures
        assert failure.reason.startswith("headscale.policy cannot be used: Headscale at http://headscale.test says: ")
    else:
        assert not failures, "it says so when it is set"
    assert server.policy is None


def test_grants_are_refused_where_the_server_would_pass_over_them(
    provider: HeadscalePolicyProvider, server: FakeHeadscale
) -> None:
    grants = json.dumps({"grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]})
    failures = provider.check({}, {**INPUTS, "policy": grants}).failures
    assert bool(failures) is (server.version < "0.29")
    for failure in failures:
        assert failure.reason == (
            "headscale.policy has `grants`, which Headscale knows from 0.29 on; http://headscale.test is older."
        )


def test_a_preview_without_a_change_asks_nothing(provider: HeadscalePolicyProvider, server: FakeHeadscale) -> None:
    server.calls.clear()
    assert not provider.check(dict(INPUTS), {**INPUTS, "policy": REORDERED}).failures
    assert not server.calls


def test_a_managed_server_need_not_be_there_yet(
    provider: HeadscalePolicyProvider, connect: Connect, server: FakeHeadscale
) -> None:
    server.api_keys.clear()
    assert not provider.check({}, dict(INPUTS)).failures


def test_an_existing_server_must_answer(server: FakeHeadscale, cluster: FakeCluster) -> None:
    provider = HeadscalePolicyProvider()
    existing = {"managed": False, "url": "https://headscale.test"}
    provider.connect = lambda: FakeConnections(server, cluster, headscale=existing, headscale_api_key="abcdefg.unknown")
    (failure,) = provider.check({}, dict(INPUTS)).failures
    assert "does not accept the API key" in failure.reason
