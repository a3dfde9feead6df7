"""Every Headscale between the oldest and the newest: contract suite and recorded answers; and an upgrade through all.

What tests/contract runs with the two ends of the versions is run here with the others. Then one database goes through
all versions, with a node that stays: to our resources nothing has changed.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.headscale.client import Headscale
from gateway.headscale.models import api_key_prefix
from infra.resources.base import Provider
from infra.resources.connections import Connections, settings_by
from infra.resources.exit_node import ExitNodeProvider
from infra.resources.pre_auth_key import PreAuthKeyProvider
from infra.resources.user import HeadscaleUserProvider
from lab.tools import pinned_tools
from tests.contract.programs import free_port
from tests.contract.real_headscale import RealHeadscale, running_headscale
from tests.contract.test_headscale import *  # noqa: F403 (the suite)
from tests.contract.test_headscale import Mesh, mesh_of
from tests.deadlines import wait_for
from tests.unit.headscale import answers

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds four servers

BETWEEN = pinned_tools.HEADSCALES[1:-1]
GATEWAY = "gw"
Made = list[tuple[Provider, str, dict[str, Any], dict[str, Any]]]
"""Provider, id, inputs and outputs of what was made."""


@pytest.fixture(scope="module", params=BETWEEN, ids=lambda tool: f"real-{tool.version}")  # type: ignore[no-redef]
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    with running_headscale(tmp_path_factory.mktemp("headscale"), request.param) as server:
        yield from mesh_of(server, None)


@pytest.mark.parametrize("tool", BETWEEN, ids=lambda tool: str(tool.version))
def test_server_answers_as_recorded(tool: pinned_tools.Tool, tmp_path: Path) -> None:
    with running_headscale(tmp_path, tool) as server, httpx.HTTPTransport() as transport:
        answers.hold(tool.version, answers.record(server, transport), may_record=True)


class _Existing(Connections):
    """A stack with that server."""

    def __init__(self, url: str, api_key: str) -> None:
        headscale = {"managed": False, "url": url}
        gateways = [{"name": GATEWAY, "endpoint": "vpn.example.com:31820"}]
        config = {"headscale": headscale, "headscale_api_key": api_key, "gateways": gateways}
        super().__init__(settings_by(config.get))


def test_an_upgrade_through_all_versions_changes_nothing(tmp_path: Path) -> None:
    port = free_port()
    made: Made = []
    with ExitStack() as nodes:
        for tool in pinned_tools.HEADSCALES:
            with running_headscale(tmp_path, tool, port=port, nodes=nodes) as server:
                # 0.28.0 does not take the keys of 0.27 and before ("legacy prefix length mismatch").
                api_key = server.new_api_key(datetime.now(UTC) + timedelta(days=20))
                made = made or _make(server, api_key)
                for provider, *_ in made:
                    provider.connect = partial(_Existing, server.url, api_key)
                _has_it_all(server.url, api_key, made, tool.version)
        with running_headscale(tmp_path, pinned_tools.HEADSCALE, port=port, nodes=nodes):
            for provider, id_, _, outputs in reversed(made):
                provider.delete(id_, outputs)
                assert not provider.read(id_, outputs).id


def _make(server: RealHeadscale, api_key: str) -> Made:
    """User, pre-auth key and exit node of a gateway that joins."""

    def create(kind: type[Provider], inputs: dict[str, Any]) -> dict[str, Any]:
        provider = kind()
        provider.connect = partial(_Existing, server.url, api_key)
        result = provider.create(inputs)
        assert result.outs
        made.append((provider, result.id, inputs, dict(result.outs)))
        return {"id": result.id, **result.outs}

    made: Made = []
    user = create(HeadscaleUserProvider, {"server": server.url, "user": "meshgate-prod", "stack_id": "1b" * 16})["user"]
    of_key = {
        "server": server.url,
        "hostname": GATEWAY,
        "user": user,
        "owner": GATEWAY,
        "reusable": False,
        "ephemeral": False,
        "tags": [],
        "expiration_hours": 1.0,
    }
    key = create(PreAuthKeyProvider, of_key)
    server.join(key["key"], GATEWAY, ("0.0.0.0/0", "::/0"))
    with Headscale(server.url, api_key) as client:
        wait_for(lambda: any(node.offers_exit for node in client.nodes()), "a node that offers the exit", within=30)
    of_node = {
        "server": server.url,
        "pre_auth_key_id": key["id"],
        "hostname": GATEWAY,
        "user": user,
        "awaited": True,  # as there is no cluster
        "deadline_seconds": 30.0,
    }
    create(ExitNodeProvider, of_node)
    return made


def _has_it_all(url: str, api_key: str, made: Made, version: str) -> None:
    node_id = made[-1][3]["node_id"]
    with Headscale(url, api_key) as client:
        wait_for(lambda: client.node(node_id).connected, f"the node is back at {version}", within=60)
        own = client.own_api_key()
    assert own, version
    assert own.prefix == api_key_prefix(api_key)
    for provider, id_, inputs, outputs in made:
        seen = provider.read(id_, outputs)
        assert (seen.id, seen.outs) == (id_, outputs), version
        assert not provider.diff(id_, outputs, inputs).changes, version
