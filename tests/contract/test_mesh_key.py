"""When the gateway's node key expires, as a real tailscaled of a real Headscale tells the agent."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from gateway.agent import measures
from gateway.agent.health import mesh_problems
from gateway.headscale.client import Headscale
from lab.tools import pinned_tools
from tests.contract.real_headscale import running_headscale
from tests.deadlines import wait_for

pytestmark = pytest.mark.timeout(600)  # the first run on a machine builds server and client

NAME = "gateway"


def test_the_expiry_of_the_key_is_a_metric_and_a_key_that_has_expired_is_no_mesh(tmp_path: Path) -> None:
    now, later = datetime.now(UTC), datetime(2099, 1, 1, tzinfo=UTC)
    with running_headscale(tmp_path, pinned_tools.HEADSCALE) as server:
        api_key = server.new_api_key(now + timedelta(hours=1))
        with Headscale(server.url, api_key) as headscale:
            user = headscale.ensure_user(NAME)
            key = headscale.create_pre_auth_key(user, expiration=now + timedelta(hours=1), tags=())
            server.join(key.key.get_secret_value(), NAME, ())
            (node,) = headscale.nodes()
        socket = server.socket(NAME)

        def expire(when: datetime) -> None:
            url = f"{server.url}/api/v1/node/{node.id}/expire"
            headers = {"Authorization": f"Bearer {api_key}"}
            httpx.post(url, params={"expiry": when.isoformat()}, headers=headers).raise_for_status()

        wait_for(lambda: asked(socket) == ([], measures.NEVER), "a node whose key never expires")
        expire(later)
        wait_for(lambda: asked(socket) == ([], later.timestamp()), "the expiry that was set")
        expire(now)
        wait_for(lambda: "NeedsLogin" in str(asked(socket)[0]), "the state of a node whose key has expired")


def asked(socket: Path) -> tuple[list[str], float | None]:
    """What the agent hears: the problems of the mesh, and the metric."""

    async def ask() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(socket))) as http:
            return await mesh_problems(http, socket)

    problems = asyncio.run(ask())
    registry = CollectorRegistry()
    registry.register(measures.MESH_KEY_EXPIRY)
    return problems, registry.get_sample_value("meshgate_mesh_key_expiry_timestamp_seconds")
