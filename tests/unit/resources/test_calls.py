"""How many calls to Headscale each operation takes: among 1,000 nodes and 100 gateways as many as among a few."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest

from infra.resources.connections import API_KEY, API_KEY_SECRET
from infra.resources.exit_node import ExitNodeProvider
from infra.resources.pre_auth_key import PreAuthKeyProvider
from infra.resources.user import HeadscaleUserProvider
from tests.unit.headscale.fake import VERSIONS, FakeHeadscale, Version
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import FakeConnections, P

USER = "meshgate-lab"
UNTAGGED, TAGGED = (), ("tag:gateway",)
ALL_NODES = "GET node"
Calls = dict[str, list[str]]


class _World:
    """A server with this many nodes of others and of gateways; what each operation asks it, with ids left out."""

    def __init__(self, version: Version, nodes: int, gateways: int, tags: tuple[str, ...]) -> None:
        self.server = FakeHeadscale(version)
        self.tags = tags
        self.calls: Calls = {}
        cluster = FakeCluster()
        api_key = self.server.new_api_key(datetime.now(UTC) + timedelta(days=1))
        cluster.apply_secret("meshgate", API_KEY_SECRET, {API_KEY: api_key})
        cluster.add_deployment("meshgate", "gw", {"tailscale": []})
        self._connect = partial(FakeConnections, self.server, cluster)
        with self._connect().headscale() as headscale:
            end = datetime.now(UTC) + timedelta(hours=1)
            for name, count in (("others", nodes - gateways), (USER, gateways)):
                user = headscale.ensure_user(name)
                key = headscale.create_pre_auth_key(user, expiration=end, tags=tags if name == USER else ())
                self.server.join(key.key.get_secret_value(), name)
                self._multiply(count)

    def _multiply(self, count: int) -> None:
        """More nodes like the last one, each by a key of its own."""
        node = list(self.server.nodes.values())[-1]
        assert node.key
        for number in range(node.id + 1, node.id + count):
            self.server.keys[number] = replace(node.key, id=number, secret=f"{number}")
            self.server.nodes[number] = replace(node, id=number, key=self.server.keys[number])
        self.server._ids = max(self.server.nodes)

    def provider(self, kind: type[P]) -> P:
        provider = kind()
        provider.connect = self._connect
        return provider

    @contextmanager
    def heard(self, operation: str) -> Iterator[None]:
        calls = self.calls[operation] = []

        def hear(request: httpx.Request) -> None:
            words = ["ID" if word.isdecimal() else word for word in request.url.path.split("/")[3:]]
            calls.append(" ".join([request.method, "/".join(words), *request.url.params]))

        self.server.fail = hear
        yield
        self.server.fail = lambda _: None


def _life(world: _World) -> Calls:
    """A gateway's life: joined, refreshed, joined anew, gone."""
    users, keys, nodes = map(world.provider, (HeadscaleUserProvider, PreAuthKeyProvider, ExitNodeProvider))
    of_key: dict[str, Any] = {
        "server": FakeHeadscale.url,
        "hostname": "gw",
        "user": USER,
        "owner": "gw",
        "reusable": False,
        "ephemeral": False,
    }
    of_key |= {"tags": list(world.tags), "expiration_hours": 1.0}
    with world.heard("user: create"):
        user = users.create({"server": FakeHeadscale.url, "user": USER, "stack_id": "1b"})
    with world.heard("user: read"):
        users.read(user.id, dict(user.outs or {}))
    with world.heard("key: create"):
        key = keys.create(of_key)
    assert key.outs
    with world.heard("key: read, unused"):
        assert keys.read(key.id, key.outs).id
    world.server.join(key.outs["key"], "gw")
    with world.heard("key: read, joined by"):
        assert keys.read(key.id, key.outs).id
    of_node = {
        "server": FakeHeadscale.url,
        "namespace": "meshgate",
        "deployment": "gw",
        "pre_auth_key_id": key.id,
        "user": USER,
        "hostname": "gw",
        "deadline_seconds": 1.0,
    }
    with world.heard("node: create"):
        node = nodes.create(of_node)
    assert node.outs
    with world.heard("node: read"):
        assert nodes.read(node.id, node.outs).outs == node.outs
    world.server.nodes[int(node.outs["node_id"])].approved.clear()
    with world.heard("node: update"):
        nodes.update(node.id, node.outs, of_node)
    with world.heard("node: delete"):
        nodes.delete(node.id, node.outs)
    with world.heard("key: delete"):
        keys.delete(key.id, key.outs)
    return world.calls


@pytest.mark.parametrize("tags", [UNTAGGED, TAGGED])
@pytest.mark.parametrize("version", VERSIONS)
def test_calls_do_not_grow_with_the_server(version: Version, tags: tuple[str, ...]) -> None:
    few, many = _life(_World(version, 3, 1, tags)), _life(_World(version, 1000, 100, tags))
    assert few == many
    assert max(map(len, many.values())) <= 8, many
    assert len(many["user: read"]) == 2, "which server it is, and the user"
    assert len(many["node: delete"]) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_all_nodes_are_listed_only_where_the_node_is_not_known(version: Version) -> None:
    calls = _life(_World(version, 30, 10, UNTAGGED))
    listing = {operation for operation, asked in calls.items() if ALL_NODES in asked}
    assert listing == {"node: create"} | ({"key: delete"} if version >= "0.28" else set())


@pytest.mark.parametrize("version", VERSIONS)
def test_the_form_of_the_api_is_learnt_without_a_list_of_keys(version: Version) -> None:
    calls = _life(_World(version, 30, 10, UNTAGGED))["key: create"]
    assert len([call for call in calls if call.startswith("GET preauthkey")]) <= 2
    if version >= "0.28":
        assert calls == ["GET user name", "GET apikey", "GET preauthkey", "POST preauthkey", "GET  v"]
