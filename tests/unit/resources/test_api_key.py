"""HeadscaleApiKey, killed at every step too."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.headscale.models import api_key_prefix
from infra.kubernetes.client import ClusterError
from infra.kubernetes.ownership import path
from infra.resources.api_key import HeadscaleApiKeyProvider, secret_of
from infra.resources.base import ResourceError
from infra.resources.connections import API_KEY, API_KEY_SECRET
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import Connect

INPUTS: dict[str, Any] = {
    "namespace": "meshgate",
    "deployment": "headscale",
    "labels": {"meshgate/stack": "1b"},
    "lifetime_days": 90.0,
    "renew_days": 30.0,
    "deadline_seconds": 0.1,
    "key_prefix": None,
    "expires_at": None,
}
COMMAND = ("headscale", "apikeys", "create", "--expiration", "10m", "--output", "json")


class _Killed(BaseException):
    """The run ends here."""


@pytest.fixture
def cluster(server: FakeHeadscale) -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_deployment("meshgate", "headscale", {"headscale": []})
    first = lambda: json.dumps(server.new_api_key(datetime.now(UTC) + timedelta(minutes=10)))  # noqa: E731
    cluster.commands[COMMAND] = first
    return cluster


@pytest.fixture
def provider(connect: Connect) -> HeadscaleApiKeyProvider:
    return connect(HeadscaleApiKeyProvider)


def _prefixes(server: FakeHeadscale) -> list[str]:
    return [api_key_prefix(key.secret) for key in server.api_keys.values()]


def test_life(provider: HeadscaleApiKeyProvider, server: FakeHeadscale, cluster: FakeCluster) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    key = cluster.secrets["meshgate", API_KEY_SECRET][API_KEY]
    assert _prefixes(server) == [api_key_prefix(key)] == [made.outs["key_prefix"]]
    assert key not in json.dumps(made.outs)
    assert made.id == "meshgate/headscale-api-key"
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes
    assert provider.read(made.id, made.outs).outs == made.outs
    provider.delete(made.id, made.outs)
    assert not server.api_keys
    assert not cluster.secrets
    provider.delete(made.id, made.outs)


def test_a_working_key_is_adopted(provider: HeadscaleApiKeyProvider, cluster: FakeCluster) -> None:
    """As after a run that was killed between writing the Secret and the state."""
    made = provider.create(dict(INPUTS))
    cluster.commands.clear()
    assert provider.create(dict(INPUTS)).outs == made.outs


def test_its_secret_is_known_as_the_stacks(provider: HeadscaleApiKeyProvider, cluster: FakeCluster) -> None:
    """The one that a lost state left is from then on of the state that takes it over."""
    provider.create(dict(INPUTS))
    where = path(secret_of(INPUTS))
    assert cluster.labelled[where] == INPUTS["labels"]
    provider.create({**INPUTS, "labels": {"meshgate/stack": "2c"}})
    assert cluster.labelled[where] == {"meshgate/stack": "2c"}


@pytest.mark.parametrize("step", ["POST apikey", "GET apikey", "DELETE apikey"])
def test_killed_run_converges_without_orphans(
    provider: HeadscaleApiKeyProvider, server: FakeHeadscale, cluster: FakeCluster, step: str
) -> None:
    """Killed when the server has done the step, before the answer arrives."""
    answer = server.handler

    def die(request: httpx.Request) -> httpx.Response | None:
        if f"{request.method} {request.url.path.split('/')[3]}" != step:
            return None
        server.fail = lambda _: None
        answer(request)
        raise _Killed

    server.fail = die
    with pytest.raises(_Killed):
        provider.create(dict(INPUTS))
    made = provider.create(dict(INPUTS))
    assert made.outs
    lasting = [
        api_key_prefix(key.secret)
        for key in server.api_keys.values()
        if key.expiration > datetime.now(UTC) + timedelta(minutes=11)
    ]
    assert lasting == [made.outs["key_prefix"]]
    assert api_key_prefix(cluster.secrets["meshgate", API_KEY_SECRET][API_KEY]) == made.outs["key_prefix"]


def test_renewed_when_its_end_is_near(
    provider: HeadscaleApiKeyProvider, server: FakeHeadscale, cluster: FakeCluster
) -> None:
    made = provider.create({**INPUTS, "lifetime_days": 20.0})
    assert made.outs
    diff = provider.diff(made.id, made.outs, {**INPUTS, "lifetime_days": 20.0})
    assert diff.changes
    assert not diff.replaces
    renewed = provider.update(made.id, made.outs, dict(INPUTS))
    assert renewed.outs
    assert _prefixes(server) == [renewed.outs["key_prefix"]] != [made.outs["key_prefix"]]
    assert not provider.diff(made.id, renewed.outs, dict(INPUTS)).changes


def test_a_renewal_is_explained_until_an_up_has_done_it(
    provider: HeadscaleApiKeyProvider, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    nearly = datetime.now(UTC) + timedelta(days=29)
    assert provider.diff(made.id, {**made.outs, "expires_at": nearly.isoformat()}, dict(INPUTS)).changes
    assert caplog.messages == [f"Headscale's API key ends on {nearly:%Y-%m-%d}: `pulumi up` renews it."]
    caplog.clear()
    renewed = provider.update(made.id, made.outs, dict(INPUTS))
    assert renewed.outs
    assert not provider.diff(made.id, renewed.outs, dict(INPUTS)).changes
    assert caplog.messages == []


def test_gone_when_the_secret_or_the_key_is(
    provider: HeadscaleApiKeyProvider, server: FakeHeadscale, cluster: FakeCluster
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    server.api_keys.clear()
    assert provider.read(made.id, made.outs).id == ""
    cluster.secrets.clear()
    assert provider.read(made.id, made.outs).id == ""
    again = provider.create(dict(INPUTS))
    assert again.outs
    assert _prefixes(server) == [again.outs["key_prefix"]]


def test_server_that_is_not_up_in_time(provider: HeadscaleApiKeyProvider, cluster: FakeCluster) -> None:
    attempts = 0

    def fail() -> str:
        nonlocal attempts
        attempts += 1
        raise ClusterError("Deployment meshgate/headscale has no running pod.")

    cluster.commands[COMMAND] = fail
    with pytest.raises(ResourceError, match=r"No API key for Headscale after 0 s: .* no running pod"):
        provider.create(dict(INPUTS))
    assert attempts > 1


def test_url_that_does_not_answer_gathers_no_keys(provider: HeadscaleApiKeyProvider, server: FakeHeadscale) -> None:
    server.fail = lambda _: httpx.Response(503)
    with pytest.raises(ResourceError, match="503"):
        provider.create(dict(INPUTS))
    assert len(server.api_keys) == 1


def test_an_ingress_that_does_not_lead_to_the_server_yet_is_waited_for(
    provider: HeadscaleApiKeyProvider, server: FakeHeadscale
) -> None:
    early = [
        httpx.Response(404, text="<html><h1>404 Not Found</h1><hr>nginx</html>"),
        httpx.Response(404, text="404 page not found\n"),
        httpx.Response(404, json={"message": "no Route matched with those values"}),
        httpx.Response(503, text="<html><h1>503 Service Temporarily Unavailable</h1></html>"),
    ]
    server.fail = lambda _: early.pop(0) if early else None
    made = provider.create({**INPUTS, "deadline_seconds": 5.0})
    assert made.outs
    assert not early
    assert _prefixes(server) == [made.outs["key_prefix"]]


def test_a_url_that_leads_elsewhere_is_told_at_the_deadline(
    provider: HeadscaleApiKeyProvider, server: FakeHeadscale
) -> None:
    server.fail = lambda _: httpx.Response(404, text="<html>")
    with pytest.raises(
        ResourceError, match=r"No API key for Headscale after 0 s: .*\(404: <html>\); check that the URL"
    ):
        provider.create(dict(INPUTS))


def test_unexpected_output_is_not_shown(provider: HeadscaleApiKeyProvider, cluster: FakeCluster) -> None:
    cluster.commands[COMMAND] = lambda: "key: hskey-api-abc"
    with pytest.raises(ResourceError, match="did not print a key") as raised:
        provider.create(dict(INPUTS))
    assert "hskey" not in str(raised.value)


def test_delete_does_not_need_the_server(
    provider: HeadscaleApiKeyProvider, server: FakeHeadscale, cluster: FakeCluster, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    server.fail = lambda _: httpx.Response(404, text="<html>")
    provider.delete(made.id, made.outs)
    assert not cluster.secrets
    assert "may be left on the server" in caplog.text
