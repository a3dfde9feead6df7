"""The Headscale client, against real servers and against the fake of the unit tests: one suite for all.

What passes here on the fake is true of the real thing. These are the oldest and the newest version of those that we
serve; tests/prove/test_headscale_versions.py runs the suite on the others.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.client import Headscale
from gateway.headscale.errors import ConflictError, NotFoundError, OthersKeysError, RefusedError, UnauthorizedError
from gateway.headscale.models import Node, PreAuthKey, User, api_key_prefix
from gateway.headscale.session import Call
from lab.tools import pinned_tools
from tests.contract.real_headscale import running_headscale
from tests.deadlines import wait_for
from tests.unit.headscale.answers import Server
from tests.unit.headscale.fake import VERSIONS, FakeHeadscale

pytestmark = pytest.mark.timeout(600)  # the first run on a machine builds two servers and a client

_names = (f"name-{number}" for number in itertools.count())


@dataclass(frozen=True)
class Mesh:
    """A server, a client of it, and what makes further clients."""

    server: Server
    client: Headscale
    connect: Callable[[str], Headscale]
    names: list[str] = field(default_factory=list)
    """Of the users that were made."""

    def user(self) -> User:
        self.names.append(next(_names))
        return self.client.ensure_user(self.names[-1])

    def delete(self, user: User) -> None:
        """The user, and before it those keys that 0.28 would delete along with it."""
        try:
            self.client.delete_user(user)
        except OthersKeysError:
            for name in self.names:
                with suppress(NotFoundError):
                    other = self.client.user(name)
                    for key in self.client.pre_auth_keys(other):
                        self.client.delete_pre_auth_key(other, key)
            self.client.delete_user(user)

    def key(self, user: User, *, expiration: datetime | None = None, tags: tuple[str, ...] = ()) -> PreAuthKey:
        return self.client.create_pre_auth_key(user, expiration=expiration or _in(hours=1), tags=tags)

    def listed(self, user: User, key: PreAuthKey) -> PreAuthKey:
        return next(one for one in self.client.pre_auth_keys(user) if one.id == key.id)

    def node(
        self, user: User, *, tags: tuple[str, ...] = (), routes: tuple[str, ...] = EXIT_ROUTES
    ) -> tuple[Node, PreAuthKey]:
        """A node that joined by a pre-auth key of its own, once it is connected and its routes are known."""
        key = self.key(user, tags=tags)
        self.server.join(key.key.get_secret_value(), next(_names), routes)

        def joined() -> list[Node]:
            found = (node for node in self.client.nodes() if node.pre_auth_key_id == key.id)
            return [node for node in found if node.connected and set(routes) <= set(node.available_routes)]

        wait_for(joined, "a node that is online", within=30)
        return joined()[0], key


@pytest.fixture(
    scope="module",
    params=[pinned_tools.HEADSCALE, pinned_tools.HEADSCALE_0_23, *VERSIONS],
    ids=lambda one: f"fake-{one}" if isinstance(one, str) else f"real-{one.version}",
)
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    if request.param in VERSIONS:
        fake = FakeHeadscale(request.param)
        yield from mesh_of(fake, fake)
        return
    with running_headscale(tmp_path_factory.mktemp("headscale"), request.param) as server:
        yield from mesh_of(server, None)


def mesh_of(server: Server, transport: httpx.BaseTransport | None) -> Iterator[Mesh]:
    """The mesh of a server that runs."""

    def connect(api_key: str) -> Headscale:
        return Headscale(server.url, api_key, transport=transport)

    with connect(server.new_api_key(_in(hours=1))) as client:
        yield Mesh(server, client, connect)


def _in(**duration: float) -> datetime:
    return datetime.now(UTC) + timedelta(**duration)


def test_ensure_user_makes_it_once(mesh: Mesh) -> None:
    name = next(_names)
    made = mesh.client.ensure_user(name, stack_id="1b")
    assert made.name == name
    assert (made.made_by_us, made.stack_id) == ((None, None) if made.display_name is None else (True, "1b"))
    assert mesh.client.ensure_user(name) == made
    assert mesh.client.user(name) == made


def test_unknown_user_is_not_found(mesh: Mesh) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        mesh.client.user("nobody")


def test_deleted_user_takes_its_keys_along(mesh: Mesh) -> None:
    user = mesh.user()
    other = mesh.user()
    mesh.key(user)
    kept = mesh.key(other)
    with suppress(OthersKeysError):  # 0.28: it stays for the others' sake
        mesh.client.delete_user(user)
        with pytest.raises(NotFoundError):
            mesh.client.user(user.name)
    assert [key.id for key in mesh.client.pre_auth_keys(other)] == [kept.id]


def test_user_deleted_twice_is_not_found(mesh: Mesh) -> None:
    user = mesh.user()
    mesh.delete(user)
    with pytest.raises(NotFoundError):
        mesh.client.delete_user(user)


def test_pre_auth_key_of_unknown_user_is_not_found(mesh: Mesh) -> None:
    gone = mesh.user()
    mesh.delete(gone)
    with pytest.raises(NotFoundError):
        mesh.key(gone)


def test_bad_tag_is_refused(mesh: Mesh) -> None:
    with pytest.raises(RefusedError, match="tag:"):
        mesh.key(mesh.user(), tags=("gateway",))


def test_pre_auth_key_keeps_its_expiration_to_the_microsecond(mesh: Mesh) -> None:
    user = mesh.user()
    expiration = _in(hours=3).replace(microsecond=123457)
    key = mesh.key(user, expiration=expiration)
    assert key.expiration == expiration
    assert mesh.listed(user, key).expiration == expiration


def test_new_pre_auth_key_is_usable(mesh: Mesh) -> None:
    user = mesh.user()
    key = mesh.key(user)
    listed = mesh.listed(user, key)
    assert listed.usable
    assert not listed.used
    assert not listed.reusable
    assert not listed.ephemeral
    assert listed.user is not None
    assert listed.user.name == user.name


def test_expired_pre_auth_key_lets_nobody_in(mesh: Mesh) -> None:
    user = mesh.user()
    key = mesh.key(user)
    mesh.client.expire_pre_auth_key(user, key)
    assert not mesh.listed(user, key).usable
    mesh.client.expire_pre_auth_key(user, mesh.listed(user, key))
    with pytest.raises(PermissionError):
        mesh.server.join(key.key.get_secret_value(), next(_names), ())


def test_deleted_pre_auth_key_is_gone_or_of_no_use(mesh: Mesh) -> None:
    user = mesh.user()
    key = mesh.key(user)
    mesh.client.delete_pre_auth_key(user, key)
    assert not any(one.usable for one in mesh.client.pre_auth_keys(user))


def test_no_key_is_shown_in_a_text(mesh: Mesh) -> None:
    user = mesh.user()
    key = mesh.key(user)
    secret = key.key.get_secret_value()
    assert secret not in f"{key!r} {mesh.listed(user, key)!r} {mesh.client!r}"


def test_node_is_known_by_the_key_that_it_used(mesh: Mesh) -> None:
    user = mesh.user()
    node, key = mesh.node(user)
    used = mesh.listed(user, key)
    assert used.used
    assert not used.usable
    assert node.user is not None
    assert node.user.name == user.name
    assert [address.partition(".")[0].partition(":")[0] for address in node.addresses] == ["100", "fd7a"]
    assert node.node_key.startswith("nodekey:")
    assert mesh.client.node(node.id).node_key == node.node_key
    assert [one.id for one in mesh.client.nodes(user.name)] == [node.id]


def test_keys_of_a_user_with_an_e_mail_address_are_found(mesh: Mesh) -> None:
    """As OIDC makes users. Headscale 0.24 and 0.25 name such a user by that address in his keys, 0.23 knows none."""
    name = next(_names)
    body = {"name": name, "email": f"{name}@example.com", "displayName": "Ada"}
    mesh.client.send(Call("POST", "user", body=body))
    mesh.names.append(name)
    user = mesh.client.user(name)
    key = mesh.key(user)
    listed = mesh.listed(user, key)
    assert listed.user
    assert listed.user.name == name
    mesh.client.expire_pre_auth_key(user, listed)
    assert not mesh.listed(user, key).usable


def test_nodes_are_told_one_after_another_a_users_own_first(mesh: Mesh) -> None:
    user, other = mesh.user(), mesh.user()
    tagged, _ = mesh.node(user, tags=("tag:gateway",))
    theirs, _ = mesh.node(other)
    own, _ = mesh.node(user)
    ids = [node.id for node in mesh.client.nodes_from(user.name)]
    assert ids.index(own.id) < ids.index(theirs.id)
    assert sorted(ids) == sorted(node.id for node in mesh.client.nodes())
    assert tagged.id in ids


def test_key_of_a_node_can_be_deleted(mesh: Mesh) -> None:
    user = mesh.user()
    node, key = mesh.node(user)
    mesh.client.delete_pre_auth_key(user, mesh.listed(user, key))
    assert mesh.client.node(node.id).online


def test_used_key_lets_nobody_else_in(mesh: Mesh) -> None:
    user = mesh.user()
    _, key = mesh.node(user)
    with pytest.raises(PermissionError):
        mesh.server.join(key.key.get_secret_value(), next(_names), ())


def test_tagged_key_tags_its_node(mesh: Mesh) -> None:
    node, _ = mesh.node(mesh.user(), tags=("tag:gateway",))
    assert node.tags == ("tag:gateway",)


def test_tags_of_a_node_are_set(mesh: Mesh) -> None:
    user = mesh.user()
    node, key = mesh.node(user)
    mesh.server.own_tags(("tag:one", "tag:two"))
    node = mesh.client.set_tags(node, ["tag:two", "tag:one"])
    assert sorted(node.tags) == ["tag:one", "tag:two"]
    assert mesh.client.set_tags(node, ["tag:one"]).tags == ("tag:one",)
    node = next(one for one in mesh.client.nodes() if one.id == node.id)
    assert node.pre_auth_key is not None
    assert node.pre_auth_key.user is not None
    assert node.pre_auth_key.user.name == user.name, "by which a tagged node's user is known"
    assert node.pre_auth_key.expiration == key.expiration, "by whose mark its owner is known"


def test_a_node_takes_the_name_that_another_one_had(mesh: Mesh) -> None:
    user = mesh.user()
    first, _ = mesh.node(user)
    key = mesh.key(user)
    mesh.server.join(key.key.get_secret_value(), first.name, ())
    second = next(node for node in mesh.client.nodes() if node.pre_auth_key_id == key.id)
    assert second.name == first.name
    assert second.given_name != first.given_name
    with pytest.raises((ConflictError, RefusedError)):
        mesh.client.rename_node(second, first.name)
    mesh.client.delete_node(first.id)
    assert mesh.client.rename_node(second, first.name).given_name == first.name


def test_tag_in_a_bad_form_is_refused(mesh: Mesh) -> None:
    node, _ = mesh.node(mesh.user())
    with pytest.raises(RefusedError, match="tag"):
        mesh.client.set_tags(node, ["gateway"])


def test_server_tells_its_noise_key_and_describes_its_api(mesh: Mesh) -> None:
    assert re.fullmatch(r"mkey:[0-9a-f]{64}", mesh.client.noise_key())
    description = mesh.client.api_description()
    assert description
    assert "nodeKey" in description["definitions"]["v1Node"]["properties"]


def test_exit_routes_wait_for_approval(mesh: Mesh) -> None:
    node, _ = mesh.node(mesh.user())
    assert node.offers_exit
    assert not node.is_exit
    approved = mesh.client.approve_routes(node, EXIT_ROUTES)
    assert approved.is_exit
    assert mesh.client.node(node.id).is_exit
    assert next(one for one in mesh.client.nodes() if one.id == node.id).is_exit


def test_approval_leaves_other_routes_alone(mesh: Mesh) -> None:
    subnet = "10.9.0.0/24"
    node, _ = mesh.node(mesh.user(), routes=(subnet, *EXIT_ROUTES))
    node = mesh.client.approve_routes(node, [subnet])
    assert not node.is_exit
    node = mesh.client.approve_routes(node, EXIT_ROUTES)
    assert set(node.approved_routes) == {subnet, *EXIT_ROUTES}
    assert mesh.client.approve_routes(node, EXIT_ROUTES) == node


def test_user_with_a_node_stays(mesh: Mesh) -> None:
    user = mesh.user()
    node, _ = mesh.node(user)
    with pytest.raises(ConflictError):
        mesh.delete(user)
    mesh.client.delete_node(node.id)
    mesh.delete(user)


def test_deleted_node_is_not_found(mesh: Mesh) -> None:
    node, _ = mesh.node(mesh.user())
    mesh.client.delete_node(node.id)
    with pytest.raises(NotFoundError):
        mesh.client.node(node.id)
    with pytest.raises(NotFoundError):
        mesh.client.delete_node(node.id)
    with pytest.raises((NotFoundError, RefusedError)):
        mesh.client.approve_routes(node, EXIT_ROUTES)


def test_api_key_works_until_deleted(mesh: Mesh) -> None:
    expiration = _in(hours=2).replace(microsecond=654321)
    secret = mesh.client.create_api_key(expiration).get_secret_value()
    prefix = api_key_prefix(secret)
    listed = next(key for key in mesh.client.api_keys() if key.prefix == prefix)
    assert listed.expiration == expiration
    with mesh.connect(secret) as other:
        assert other.api_keys()
        other.delete_api_key(prefix)
        with pytest.raises(UnauthorizedError, match="API key"):
            other.api_keys()
    with pytest.raises(NotFoundError):
        mesh.client.delete_api_key(prefix)


def test_client_knows_its_own_api_key(mesh: Mesh) -> None:
    expiration = _in(hours=2).replace(microsecond=654321)
    with mesh.connect(mesh.client.create_api_key(expiration).get_secret_value()) as other:
        own = other.own_api_key()
    assert own
    assert own.expiration == expiration


def test_expired_api_key_is_unauthorized(mesh: Mesh) -> None:
    secret = mesh.client.create_api_key(_in(hours=2)).get_secret_value()
    mesh.client.expire_api_key(api_key_prefix(secret))
    with mesh.connect(secret) as other, pytest.raises(UnauthorizedError):
        other.nodes()


def test_unknown_api_key_is_unauthorized(mesh: Mesh) -> None:
    for key in ("hskey-api-0123456789ab-" + "x" * 64, "abcdefg." + "x" * 32, "nonsense"):
        with mesh.connect(key) as other, pytest.raises(UnauthorizedError) as error:
            other.nodes()
        assert key not in str(error.value)
