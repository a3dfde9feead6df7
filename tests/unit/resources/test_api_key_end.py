"""The API key of an existing server, as a preview finds it."""

from datetime import UTC, datetime, timedelta

import httpx

from infra import api_key_end
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import FakeConnections

EXISTING = {"managed": False, "url": "https://headscale.test"}
REMEDY = (
    "`headscale apikeys create` there makes one, `pulumi config set --secret headscale_api_key` sets it; refresh and "
    "destroy heed it with --run-program."
)


def problem(server: FakeHeadscale, api_key: str) -> str:
    return api_key_end.problem(FakeConnections(server, FakeCluster(), headscale=EXISTING, headscale_api_key=api_key))


def test_one_that_ends_soon_is_told(server: FakeHeadscale) -> None:
    server.new_api_key(datetime.now(UTC) + timedelta(days=1))  # somebody else's
    end = datetime.now(UTC) + timedelta(days=13)
    assert problem(server, server.new_api_key(end)) == (
        f"The API key for Headscale at http://headscale.test ends on {end:%Y-%m-%d %H:%M} UTC. {REMEDY}"
    )


def test_one_that_lasts_is_not_told_and_a_server_that_is_away_is_asked_once(server: FakeHeadscale) -> None:
    api_key = server.new_api_key(datetime.now(UTC) + timedelta(days=15))
    assert problem(server, api_key) == ""
    asked: list[httpx.Request] = []

    def away(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503)

    server.fail = away
    assert problem(server, api_key) == ""
    assert len(asked) == 1


def test_one_that_has_ended_is_told(server: FakeHeadscale) -> None:
    told = problem(server, server.new_api_key(datetime.now(UTC) - timedelta(days=1)))
    assert "does not accept the API key" in told
    assert told.endswith(REMEDY)
