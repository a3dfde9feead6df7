"""A Headscale server's API as typed calls, one client for every version.

Servers differ in three places, told apart by how they answer. That outlives a proxy that lets nothing but the API
through, and a server of one's own build, whose version is "dev":
- pre-auth keys: of a user by name (to 0.25), of a user by id (0.26, 0.27), by their own id (from 0.28 on);
- routes: an API of their own (to 0.25), fields of the node (from 0.26 on);
- users: deleted by name (0.23) or by id.
Source: proto/headscale/v1 of each version; tests/contract/test_headscale.py runs this against real servers.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum, auto
from functools import cached_property
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from gateway.headscale.errors import (
    ConflictError,
    NotFoundError,
    OthersKeysError,
    RefusedError,
    UnexpectedAnswerError,
)
from gateway.headscale.models import OURS, ApiKey, Node, PreAuthKey, Route, StoredPolicy, User, api_key_prefix
from gateway.headscale.session import Call, Session

_Model = TypeVar("_Model", bound=BaseModel)


class _Keys(Enum):
    """How a server's pre-auth keys are addressed."""

    BY_USER_NAME = auto()
    BY_USER_ID = auto()
    BY_ID = auto()


class Headscale:
    """Calls to one Headscale server; use it as a context manager, or close it.

    Every method raises the errors of `gateway.headscale.errors` and nothing else.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        ca_certificate: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._session = Session(url, api_key, ca_certificate=ca_certificate, transport=transport)
        self._prefix = api_key_prefix(api_key.strip())

    @property
    def url(self) -> str:
        """The server's URL."""
        return self._session.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    # Users

    def user(self, name: str) -> User:
        """The user of that name; raises NotFoundError."""
        # 0.23 ignores the filter and lists all.
        for user in self._list(User, "users", "user", {"name": name}):
            if user.name == name:
                return user
        raise NotFoundError(f"Headscale at {self.url} has no user {name!r}.")

    def ensure_user(self, name: str, *, stack_id: str = "") -> User:
        """The user of that name, made when there is none, and then marked as made by us (0.24 and later)."""
        try:
            return self.user(name)
        except NotFoundError:
            pass
        try:
            return self._one(
                User, "user", Call("POST", "user", body={"name": name, "displayName": f"{OURS} {stack_id}".strip()})
            )
        except ConflictError:  # made by someone else in between
            return self.user(name)

    def delete_user(self, user: User) -> None:
        """Delete the user and its pre-auth keys; raises ConflictError while it owns nodes, NotFoundError when gone.

        Raises OthersKeysError, and deletes nothing, where the server would delete other users' keys too.
        """
        if self._keys is _Keys.BY_ID and not self._has_call("policy/check"):  # 0.28, which 0.29 mends
            keys = self._list(PreAuthKey, "preAuthKeys", "preauthkey")
            if any(key.user is None or key.user.id != user.id for key in keys):
                raise OthersKeysError(
                    f"Headscale at {self.url} is a 0.28, which would delete the pre-auth keys of all users along with "
                    f"user {user.name}; 0.29 does not."
                )
        handle = user.name if user.display_name is None else user.id
        self._session.send(Call("DELETE", f"user/{_segment(handle)}"))

    # Pre-auth keys

    def pre_auth_keys(self, user: User) -> list[PreAuthKey]:
        """The keys of that user, used and expired ones too."""
        if self._keys is _Keys.BY_ID:
            keys = self._list(PreAuthKey, "preAuthKeys", "preauthkey")
            return [key for key in keys if key.user and key.user.id == user.id]
        keys = self._list(PreAuthKey, "preAuthKeys", "preauthkey", {"user": self._key_owner(user)})
        # They are that user's by the question: up to 0.25 they name him by his e-mail address if he has one.
        return [key.model_copy(update={"user": user}) for key in keys]

    def create_pre_auth_key(
        self,
        user: User,
        *,
        expiration: datetime,
        reusable: bool = False,
        ephemeral: bool = False,
        tags: Collection[str] = (),
    ) -> PreAuthKey:
        """A new key; only this answer holds it whole. Nodes that register with it get the tags."""
        body = {
            "user": self._key_owner(user),
            "reusable": reusable,
            "ephemeral": ephemeral,
            "expiration": _timestamp(expiration),
            "aclTags": list(tags),
        }
        return self._one(PreAuthKey, "preAuthKey", Call("POST", "preauthkey", body=body))

    def expire_pre_auth_key(self, user: User, key: PreAuthKey) -> None:
        """End the key's life now; done when it has ended already."""
        if not key.usable:  # older servers answer an error to that
            return
        body = {"id": key.id}
        if self._keys is not _Keys.BY_ID:
            body = {"user": self._key_owner(user), "key": key.key.get_secret_value()}
        self._session.send(Call("POST", "preauthkey/expire", body=body, repeatable=True))

    def delete_pre_auth_key(self, user: User, key: PreAuthKey) -> None:
        """Remove the key; servers before 0.28 can only expire it."""
        if self.deletes_pre_auth_keys:
            self._session.send(Call("DELETE", "preauthkey", query={"id": key.id}))
        else:
            self.expire_pre_auth_key(user, key)

    @property
    def deletes_pre_auth_keys(self) -> bool:
        """Whether a key can be removed; servers before 0.28 only let it expire."""
        return self._keys is _Keys.BY_ID

    @cached_property
    def _keys(self) -> _Keys:
        # Both answers are short on a server of any size. There is an API key: the one that asks.
        if any(key.is_masked for key in self.api_keys()):
            return _Keys.BY_ID
        try:
            self._session.send(Call("GET", "preauthkey", {"user": "-"}))
        except NotFoundError:
            pass
        except RefusedError:  # that is no number
            return _Keys.BY_USER_ID
        return _Keys.BY_USER_NAME

    def _key_owner(self, user: User) -> str:
        return user.name if self._keys is _Keys.BY_USER_NAME else user.id

    # Nodes

    def nodes(self, user_name: str | None = None) -> list[Node]:
        """All nodes, or those that a user owns (tagged ones are owned by none from 0.28 on)."""
        query = {"user": user_name} if user_name else {}
        return self._nodes_of(self._session.send(Call("GET", "node", query)).get("nodes", []), "routes")

    def nodes_from(self, user_name: str) -> Iterator[Node]:
        """All nodes, one after another, first those that the user owns: the others are asked for when it is their turn.

        A stack's nodes are few among a server's. A server up to 0.25 is not asked for their routes.
        """
        own: list[Node] = []
        with suppress(NotFoundError, RefusedError):  # an OIDC user and another one may share a name
            own = self._list(Node, "nodes", "node", {"user": user_name})
        yield from own
        known = {node.id for node in own}
        yield from (node for node in self._list(Node, "nodes", "node") if node.id not in known)

    def node(self, node_id: str) -> Node:
        """The node of that id; raises NotFoundError."""
        path = f"node/{_segment(node_id)}"
        return self._nodes_of([self._session.send(Call("GET", path)).get("node")], f"{path}/routes")[0]

    def approve_routes(self, node: Node, routes: Iterable[str]) -> Node:
        """The node with these routes approved besides those that were.

        Raises NotFoundError when the node is gone or, before 0.26, does not advertise one of the routes.
        """
        wanted = set(routes)
        if (rows := node.route_rows) is None:
            body = {"routes": sorted(wanted | set(node.approved_routes))}
            call = Call("POST", f"node/{_segment(node.id)}/approve_routes", body=body, repeatable=True)
            return self._one(Node, "node", call)
        if missing := wanted - {row.prefix for row in rows if row.advertised}:
            raise NotFoundError(
                f"Node {node.given_name} at {self.url} does not advertise {', '.join(sorted(missing))}."
            )
        for row in rows:
            if row.prefix in wanted and not row.enabled:
                self._session.send(Call("POST", f"routes/{_segment(row.id)}/enable", body={}, repeatable=True))
        return self.node(node.id)

    def set_tags(self, node: Node, tags: Iterable[str]) -> Node:
        """The node with these tags and no other; from 0.28 on, only with tags that the policy knows, and not without.

        Raises RefusedError, and NotFoundError when the node is gone.
        """
        body = {"tags": sorted(tags)}
        self._session.send(Call("POST", f"node/{_segment(node.id)}/tags", body=body, repeatable=True))
        return self.node(node.id)

    def rename_node(self, node: Node, name: str) -> Node:
        """The node with this name in the mesh; raises ConflictError or RefusedError when another node has it."""
        path = f"node/{_segment(node.id)}/rename/{_segment(name)}"
        self._session.send(Call("POST", path, body={}, repeatable=True))
        return self.node(node.id)

    def delete_node(self, node_id: str) -> None:
        """Remove the node from the mesh; raises NotFoundError when it is gone."""
        self._session.send(Call("DELETE", f"node/{_segment(node_id)}"))

    # The policy

    def policy(self) -> StoredPolicy | None:
        """The policy that the server goes by; None where none was ever set in its database."""
        try:
            return self._parsed(StoredPolicy, self._session.send(Call("GET", "policy")))
        except NotFoundError:
            return None
        except RefusedError as error:
            if "reading policy from" not in str(error):
                raise
            return StoredPolicy(text="")  # it is to be in a file, and there is none

    def set_policy(self, text: str) -> None:
        """Put this policy in the place of the one that is; raises RefusedError where that is in a file."""
        self._session.send(Call("PUT", "policy", body={"policy": text}, repeatable=True))

    def check_policy(self, text: str) -> None:
        """Ask whether the server would take this policy: a HeadscaleError if not, NoSuchCallError before 0.29."""
        self._session.send(Call("POST", "policy/check", body={"policy": text}, repeatable=True))

    # The server itself

    def noise_key(self) -> str:
        """`mkey:` and 64 hexadecimal digits: the server's key of the control protocol, which all clients know."""
        return self._noise_key

    @cached_property
    def _noise_key(self) -> str:
        # Tailscale's clients ask by the version of that protocol. A server refuses old ones, and takes newer ones.
        key = self._session.send(Call("GET", f"{self.url}/key", {"v": "999"})).get("publicKey")
        if not isinstance(key, str):
            raise UnexpectedAnswerError(f"Headscale at {self.url} does not tell its Noise key.")
        return key

    def api_description(self) -> dict[str, Any] | None:
        """The server's own description of its API (Swagger 2.0), or None when it serves none."""
        try:
            return self._session.send(Call("GET", f"{self.url}/swagger/v1/openapiv2.json"))
        except (NotFoundError, UnexpectedAnswerError):
            return None

    # API keys

    def api_keys(self, *, once: bool = False) -> list[ApiKey]:
        """All keys of the API, expired ones too."""
        keys = self._session.send(Call("GET", "apikey", once=once)).get("apiKeys", [])
        return [self._parsed(ApiKey, key) for key in keys]

    def own_api_key(self, *, once: bool = False) -> ApiKey | None:
        """The key that this client calls with, as the server lists it."""
        return next((key for key in self.api_keys(once=once) if key.prefix == self._prefix), None)

    def create_api_key(self, expiration: datetime) -> SecretStr:
        """A new key, whole."""
        call = Call("POST", "apikey", body={"expiration": _timestamp(expiration)})
        key = self._session.send(call).get("apiKey")
        if not isinstance(key, str):
            raise UnexpectedAnswerError(f"Headscale at {self.url} made an API key but did not answer it.")
        return SecretStr(key)

    def expire_api_key(self, prefix: str) -> None:
        """End the key's life now."""
        self._session.send(Call("POST", "apikey/expire", body={"prefix": prefix}, repeatable=True))

    def delete_api_key(self, prefix: str) -> None:
        """Remove the key; raises NotFoundError when it is gone."""
        self._session.send(Call("DELETE", f"apikey/{_segment(prefix)}"))

    # Which calls there are

    def _has_call(self, path: str) -> bool:
        """Whether the server knows such a path, if only by another method than GET."""
        try:
            self._session.send(Call("GET", path))
        except NotFoundError:
            return False
        except RefusedError:
            pass
        return True

    # Parsing

    def _list(self, model: type[_Model], field: str, path: str, query: dict[str, str] | None = None) -> list[_Model]:
        items = self._session.send(Call("GET", path, query or {})).get(field, [])
        return [self._parsed(model, item) for item in items]

    def _one(self, model: type[_Model], field: str, call: Call) -> _Model:
        return self._parsed(model, self._session.send(call).get(field))

    def _parsed(self, model: type[_Model], item: object) -> _Model:
        try:
            return model.model_validate(item)
        except ValidationError as error:
            fields = sorted({".".join(map(str, one["loc"])) or "all of it" for one in error.errors()})
            raise UnexpectedAnswerError(
                f"Headscale at {self.url} describes a {model.__name__} in a form unknown here ({', '.join(fields)})."
            ) from None

    def _nodes_of(self, items: list[Any], rows_path: str) -> list[Node]:
        """Nodes as answered; where routes are an API of their own, with that one's rows put in."""
        nodes = [self._parsed(Node, item) for item in items]
        if all(isinstance(item, dict) and "approvedRoutes" in item for item in items):
            return nodes
        rows = self._list(Route, "routes", rows_path)
        return [node.with_routes([row for row in rows if row.node_id == node.id]) for node in nodes]


def _segment(text: str) -> str:
    return quote(text, safe="")


def _timestamp(moment: datetime) -> str:
    """RFC 3339 with Z: the one form that all versions take."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
