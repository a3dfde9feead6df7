"""Waits for a gateway's node: what the server is asked meanwhile."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from gateway.headscale import exit_nodes, polling
from gateway.headscale.client import Headscale
from tests.unit.headscale.fake import FakeHeadscale


class _Clock:
    """Time that passes by sleeping alone."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(polling, "time", clock)
    return clock


def test_looks_become_rarer_and_the_last_is_at_the_deadline(clock: _Clock) -> None:
    looks: list[float] = []
    assert polling.poll(lambda: looks.append(clock.now), 180) is None
    assert looks[:11] == list(range(11))
    assert len(looks) < 50
    assert all(later <= 1.1 * look + 1 for look, later in pairwise(looks))
    assert looks[-1] == 180


def test_something_that_is_there_is_looked_at_once(clock: _Clock) -> None:
    assert polling.poll(lambda: 7, 0) == 7
    assert clock.now == 0


@pytest.mark.usefixtures("clock")
def test_a_node_that_has_joined_is_asked_for_alone() -> None:
    """It joined, and its tailscaled does not come up: nearly all looks are at it alone."""
    server = FakeHeadscale()
    with Headscale(
        server.url, server.new_api_key(datetime.now(UTC) + timedelta(hours=1)), transport=server
    ) as headscale:
        user = headscale.ensure_user("meshgate")
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1), reusable=True)
        server.join(key.key.get_secret_value(), "gw")
        (node,) = server.nodes.values()
        node.online = False
        expected = exit_nodes.ExpectedNode("gw", "meshgate", key.id)
        server.calls.clear()
        assert exit_nodes.wait(headscale, expected, 60) is None
        assert server.calls.count("GET node") == 1 + len(server.calls) // 10
        assert set(server.calls) == {"GET node", f"GET node/{node.id}"}

        server.join(key.key.get_secret_value(), "gw")
        found = exit_nodes.wait(headscale, expected, 60)
        assert found, "a second node by a key that several may use"
        assert found.id != str(node.id)


def test_a_node_that_is_known_is_found_without_a_list() -> None:
    server = FakeHeadscale()
    with Headscale(
        server.url, server.new_api_key(datetime.now(UTC) + timedelta(hours=1)), transport=server
    ) as headscale:
        user = headscale.ensure_user("meshgate")
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
        server.join(key.key.get_secret_value(), "gw")
        (known,) = server.nodes
        server.calls.clear()
        node = exit_nodes.wait(headscale, exit_nodes.ExpectedNode("gw", "meshgate", key.id, str(known)), 1)
    assert node
    assert server.calls == [f"GET node/{known}"]
