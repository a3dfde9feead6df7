from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.headscale.client import Headscale
from infra.resources.connections import API_KEY, API_KEY_SECRET, Connections, settings_by
from infra.resources.user import DevicesUserProvider, HeadscaleUserProvider
from tests.unit.headscale.fake import FakeHeadscale
from tests.unit.resources.fake_cluster import FakeCluster
from tests.unit.resources.fake_connections import CONFIG, UNKNOWN, Connect, FakeConnections

OWN, OTHER = "1b" * 16, "5a" * 16
INPUTS: dict[str, Any] = {
    "server": FakeHeadscale.url,
    "user": "meshgate-lab",
    "stack_id": OWN,
    "user_id": None,
    "adopted": None,
    "server_key": None,
}


@pytest.fixture
def provider(connect: Connect) -> HeadscaleUserProvider:
    return connect(HeadscaleUserProvider)


def test_life(provider: HeadscaleUserProvider, server: FakeHeadscale) -> None:
    made = provider.create(dict(INPUTS))
    learned = {"user_id": str(server.users["meshgate-lab"]), "adopted": False, "server_key": f"mkey:{7:064x}"}
    assert made.outs == {**INPUTS, **learned}
    if server.version != "0.23":
        assert provider.create(dict(INPUTS)).outs == made.outs, "as after a run that was killed"
    assert not provider.diff(made.id, made.outs, dict(INPUTS)).changes
    assert provider.read(made.id, made.outs).outs == made.outs
    provider.delete(made.id, made.outs)
    assert not server.users
    provider.delete(made.id, made.outs)
    assert provider.read(made.id, made.outs).id == ""


def test_another_name_is_another_user(provider: HeadscaleUserProvider) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert provider.diff(made.id, made.outs, {**INPUTS, "user": "other"}).replaces == ["user"]


@pytest.mark.parametrize("same", [True, False])
def test_a_server_that_moves_or_another_one(
    provider: HeadscaleUserProvider, server: FakeHeadscale, caplog: pytest.LogCaptureFixture, same: bool
) -> None:
    made = provider.create({**INPUTS, "server": "http://old.test"}).outs
    assert made
    if not same:
        made["server_key"] = f"mkey:{8:064x}"
        server.users.clear()
        assert provider.read("meshgate-lab", made).id == ""
        provider.delete("meshgate-lab", made)
        caplog.clear()
    diff = provider.diff("meshgate-lab", made, INPUTS)
    assert diff.changes
    assert not diff.replaces
    after = provider.update("meshgate-lab", made, INPUTS).outs
    assert after
    assert (after["user_id"], after["adopted"]) == (str(server.users["meshgate-lab"]), False)
    left = "Headscale user meshgate-lab is left at http://old.test: that is another Headscale."
    assert caplog.messages == ([] if same else [left])


def test_user_with_nodes_of_others_is_left(
    provider: HeadscaleUserProvider, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    made = provider.create(dict(INPUTS))
    assert made.outs
    with provider.connect() as connections, connections.headscale() as headscale:
        user = headscale.user("meshgate-lab")
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
    server.join(key.key.get_secret_value(), "phone")
    provider.delete(made.id, made.outs)
    assert "meshgate-lab" in server.users
    assert "it owns nodes that are not ours" in caplog.text


@pytest.mark.parametrize("kind", [HeadscaleUserProvider, DevicesUserProvider])
def test_a_user_that_was_there_before_stays_with_all_that_is_its_own(
    kind: type[HeadscaleUserProvider], connect: Connect, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    provider = connect(kind)
    with provider.connect() as connections, connections.headscale() as headscale:
        user = headscale.ensure_user("meshgate-lab")
        server.display_names.clear()
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
        server.join(key.key.get_secret_value(), "phone")
    made = provider.create(dict(INPUTS))
    assert made.outs
    assert made.outs["adopted"]
    provider.delete(made.id, made.outs)
    assert (list(server.users), [node.name for node in server.nodes.values()]) == (["meshgate-lab"], ["phone"])
    assert "it was there before this stack" in caplog.text


def test_the_devices_user_goes_with_its_nodes(connect: Connect, server: FakeHeadscale) -> None:
    provider = connect(DevicesUserProvider)
    made = provider.create(dict(INPUTS))
    assert made.outs
    with provider.connect() as connections, connections.headscale() as headscale:
        for name in ("meshgate-lab", "other"):
            user = headscale.ensure_user(name)
            key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
            server.join(key.key.get_secret_value(), f"phone of {name}")
    provider.delete(made.id, made.outs)
    assert ([node.name for node in server.nodes.values()], list(server.users)) == (["phone of other"], ["other"])
    provider.delete(made.id, made.outs)


def test_devices_of_another_server_are_left(
    connect: Connect, server: FakeHeadscale, caplog: pytest.LogCaptureFixture
) -> None:
    """Its user of that name is somebody else's."""
    provider = connect(DevicesUserProvider)
    made = provider.create(dict(INPUTS))
    assert made.outs
    with provider.connect() as connections, connections.headscale() as headscale:
        user = headscale.user("meshgate-lab")
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
    server.join(key.key.get_secret_value(), "phone")
    provider.delete(made.id, {**made.outs, "server": "http://old.test", "server_key": f"mkey:{8:064x}"})
    assert ([node.name for node in server.nodes.values()], list(server.users)) == (["phone"], ["meshgate-lab"])
    assert caplog.messages == ["Headscale user meshgate-lab is left at http://old.test: that is another Headscale."]


class _ExistingServer(Connections):
    """A stack with an existing server."""

    def __init__(self, server: FakeHeadscale, api_key: str, recover: str | None = None) -> None:
        headscale = {"managed": False, "url": "https://headscale.test"}
        config = CONFIG | {"headscale": headscale, "headscale_api_key": api_key, "recover": recover}
        super().__init__(settings_by(config.get))
        self._server = server

    def headscale_with(self, api_key: str) -> Headscale:
        return Headscale(self._server.url, api_key, transport=self._server)


def test_an_existing_server_is_asked_before_anything_is_made(server: FakeHeadscale) -> None:
    provider = HeadscaleUserProvider()
    api_key = server.new_api_key(datetime.now(UTC) + timedelta(days=1))
    provider.connect = lambda: _ExistingServer(server, api_key)
    assert not provider.check({}, dict(INPUTS)).failures
    assert not server.users
    provider.connect = lambda: _ExistingServer(server, "abcdefg.unknown")
    (failure,) = provider.check({}, dict(INPUTS)).failures
    assert "does not accept the API key" in failure.reason
    assert "`pulumi config set --secret headscale_api_key` sets it" in failure.reason
    assert not provider.check(dict(INPUTS), dict(INPUTS)).failures, "a user that was seen before fails no preview"


def test_other_users_keys_stay_though_0_28_would_delete_them(
    caplog: pytest.LogCaptureFixture, cluster: FakeCluster
) -> None:
    server = FakeHeadscale("0.28")
    key = server.new_api_key(datetime.now(UTC) + timedelta(days=1))
    cluster.apply_secret("meshgate", API_KEY_SECRET, {API_KEY: key})
    provider = HeadscaleUserProvider()
    provider.connect = lambda: FakeConnections(server, cluster)
    made = provider.create(dict(INPUTS))
    assert made.outs
    with provider.connect() as connections, connections.headscale() as headscale:
        other = headscale.ensure_user("somebody")
        theirs = headscale.create_pre_auth_key(other, expiration=datetime.now(UTC) + timedelta(hours=1))
        provider.delete(made.id, made.outs)
        assert [key.id for key in headscale.pre_auth_keys(other)] == [theirs.id]
        assert "Headscale user meshgate-lab is left where it is. " in caplog.text
        assert "is a 0.28, which would delete the pre-auth keys of all users" in caplog.text
        headscale.delete_pre_auth_key(other, theirs)
    provider.delete(made.id, made.outs)
    assert list(server.users) == ["somebody"]


def test_a_managed_server_need_not_be_there_yet(provider: HeadscaleUserProvider, server: FakeHeadscale) -> None:
    server.api_keys.clear()
    assert not provider.check({}, dict(INPUTS)).failures


@pytest.mark.parametrize("stack_id", [OWN, UNKNOWN])
def test_a_user_of_another_state_is_refused(server: FakeHeadscale, stack_id: object) -> None:
    """In the first preview the stack's own id is not known: then no user can be its own."""
    provider = HeadscaleUserProvider()
    api_key = server.new_api_key(datetime.now(UTC) + timedelta(days=1))
    provider.connect = lambda: _ExistingServer(server, api_key)
    with provider.connect() as connections, connections.headscale() as headscale:
        headscale.ensure_user("meshgate-lab", stack_id=OTHER)
    failures = provider.check({}, {**INPUTS, "stack_id": stack_id}).failures
    if server.version == "0.23":
        assert not failures, "it does not tell who made a user"
        return
    (failure,) = failures
    assert failure.reason == (
        "Headscale user meshgate-lab is of another state, perhaps of this stack: log in where that state lies, or, if "
        f"it is lost, take all of it over: `pulumi config set recover {OTHER}`."
    )
    provider.connect = lambda: _ExistingServer(server, api_key, recover=OTHER)
    assert not provider.check({}, {**INPUTS, "stack_id": stack_id}).failures
    made = provider.create(dict(INPUTS)).outs
    assert made
    assert made["adopted"] is False
