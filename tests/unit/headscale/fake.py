"""A Headscale in memory, behind httpx's transport: answers as one of the served versions does.

tests/contract/test_headscale.py runs the same suite against it and against real servers, so it cannot lie about
what that suite covers. Its answers are held to those that real servers gave (answers.py). It is strict: a request that
a real server would not take is an error here too.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import httpx
import jsonc

Version = Literal["0.23", "0.25", "0.26", "0.27", "0.28", "0.29"]
VERSIONS: tuple[Version, ...] = get_args(Version)
EXIT_ROUTES = ("0.0.0.0/0", "::/0")
_Json = dict[str, Any]
_TAGGED_DEVICES = {"id": "2147455555", "name": "tagged-devices", "displayName": "Tagged Devices"}
_UNKNOWN_USER = 500, "user not found"
_OUTSIDE_THE_API: dict[str, _Json] = {
    "/key": {"legacyPublicKey": f"mkey:{0:064x}", "publicKey": f"mkey:{7:064x}"},
    "/swagger/v1/openapiv2.json": {
        "swagger": "2.0",
        "definitions": {"v1Node": {"properties": {"nodeKey": {"type": "string"}, "name": {"type": "string"}}}},
    },
}


@dataclass
class _Key:
    id: int
    user: str
    secret: str
    expiration: datetime
    reusable: bool
    ephemeral: bool
    tags: list[str]
    used: bool = False


@dataclass
class _Node:
    id: int
    name: str
    user: str
    key: _Key | None
    available: list[str]
    given_name: str = ""
    approved: list[str] = field(default_factory=list)
    online: bool = True
    tags: list[str] = field(default_factory=list)
    expiry: datetime | None = None


@dataclass
class _ApiKey:
    id: int
    secret: str
    expiration: datetime
    created: datetime


class _RefusalError(Exception):
    """A refusal on its way out."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class FakeHeadscale(httpx.MockTransport):
    """The server. `calls` lists "METHOD path" of every request; `fail` answers in place of the server when set.

    `policy_file` is the text of the server's own file, where it goes by that.
    """

    url = "http://headscale.test"

    def __init__(self, version: Version = "0.29") -> None:
        super().__init__(self._answer)
        self.version = version
        self.users: dict[str, int] = {}
        self.display_names: dict[str, str] = {}
        self.emails: dict[str, str] = {}
        """As OIDC's users have them; 0.23 knows none."""
        self.keys: dict[int, _Key] = {}
        self.nodes: dict[int, _Node] = {}
        self.api_keys: dict[int, _ApiKey] = {}
        self.policy: str | None = None
        self.policy_file: str | None = None
        self.calls: list[str] = []
        self.fail: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
        self._ids = 0

    # What happens on a server besides its API

    def new_api_key(self, expiration: datetime) -> str:
        """As `headscale apikeys create` on the server."""
        token = secrets.token_urlsafe
        if self._masks:
            secret = f"hskey-api-{token(9)}-{token(48)}"
        elif self._is_before("0.24"):
            secret = f"{token(7)}.{token(32)}"
        else:
            secret = f"{token(7)[:7]}.{token(24)}"
        key = _ApiKey(self._id(), secret, expiration, datetime.now(UTC))
        self.api_keys[key.id] = key
        return secret

    def join(self, auth_key: str, hostname: str, routes: tuple[str, ...] = EXIT_ROUTES) -> None:
        """As a tailscaled that comes up with a pre-auth key; PermissionError when it is not let in."""
        key = next((key for key in self.keys.values() if key.secret == auth_key), None)
        if key is None or key.expiration <= datetime.now(UTC) or (key.used and not key.reusable):
            raise PermissionError("the pre-auth key does not work")
        key.used = True
        taken = hostname in {node.given_name for node in self.nodes.values()}
        id_ = self._id()
        given_name = f"{hostname}-{id_}" if taken else hostname
        node = _Node(id_, hostname, key.user, key, list(routes), given_name=given_name, tags=list(key.tags))
        self.nodes[node.id] = node

    def own_tags(self, tags: tuple[str, ...]) -> None:
        """As a policy that says who owns these tags."""
        self.policy = json.dumps({"tagOwners": {tag: [] for tag in tags}, "acls": []})

    # HTTP

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if failure := self.fail(request):
            return failure
        path = request.url.path.removeprefix("/api/v1/")
        self.calls.append(f"{request.method} {path}")
        if path in _OUTSIDE_THE_API:
            return httpx.Response(200, json=_OUTSIDE_THE_API[path])
        if refusal := self._unauthorized(request):
            return refusal
        body = json.loads(request.content) if request.content else {}
        parts = path.split("/")
        try:
            return httpx.Response(200, json=self._route(request.method, parts, dict(request.url.params), body))
        except _RefusalError as answer:
            code = {404: 5, 400: 3}.get(answer.status, 2)
            return httpx.Response(answer.status, json={"code": code, "message": answer.message, "details": []})

    def _unauthorized(self, request: httpx.Request) -> httpx.Response | None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        key = next((key for key in self.api_keys.values() if key.secret == given), None)
        if key and key.expiration > datetime.now(UTC):
            return None
        status = 500 if key is None and self._is_before("0.27") else 401
        return httpx.Response(status, text="Unauthorized")

    def _route(self, method: str, parts: list[str], query: dict[str, str], body: _Json) -> _Json:
        topics: dict[str, Callable[[str, list[str], dict[str, str], _Json], _Json | None]] = {
            "user": self._route_user,
            "preauthkey": self._route_key,
            "node": self._route_node,
            "routes": self._route_routes,
            "apikey": self._route_api_key,
            "policy": self._route_policy,
        }
        answer = topics[parts[0]](method, parts[1:], query, body) if parts[0] in topics else None
        if answer is None:
            raise _RefusalError(404, "Not Found")
        return answer

    # Users

    def _route_user(self, method: str, parts: list[str], query: dict[str, str], body: _Json) -> _Json | None:
        match method, parts:
            case "GET", []:
                wanted = None if self._is_before("0.24") else query.get("name")
                return {"users": [self._user(name) for name in self.users if wanted in (None, name)]}
            case "POST", []:
                return {"user": self._create_user(body["name"], body.get("displayName", ""), body.get("email", ""))}
            case "DELETE", [handle]:
                return self._delete_user(handle)
        return None

    def _create_user(self, name: str, display_name: str, email: str) -> _Json:
        if name in self.users:
            old = self._is_before("0.24")
            raise _RefusalError(500, "user already exists" if old else "UNIQUE constraint failed: users.name")
        self.users[name] = self._id()
        self.display_names[name] = display_name
        if email and not self._is_before("0.24"):
            self.emails[name] = email
        return self._user(name)

    def _delete_user(self, handle: str) -> _Json:
        name = self._existing(handle) if self._is_before("0.24") else self._named(handle)
        if any(node.user == name and not self._tagged(node) for node in self.nodes.values()):
            raise _RefusalError(500, "user not empty: node(s) found")
        del self.users[name]
        for id_ in [key.id for key in self.keys.values() if key.user == name or self.version == "0.28"]:
            self._delete_key(id_)  # 0.28 deletes all
        return {}

    def _existing(self, name: str) -> str:
        if name not in self.users:
            raise _RefusalError(*_UNKNOWN_USER)
        return name

    def _named(self, user_id: str) -> str:
        if not user_id.isdecimal():
            raise _RefusalError(400, f'type mismatch, parameter: user, error: parsing "{user_id}": invalid syntax')
        return self._existing(next((name for name, id_ in self.users.items() if str(id_) == user_id), ""))

    def _owner(self, user: str) -> str:
        """The user whom a call on pre-auth keys means."""
        return self._existing(user) if self._is_before("0.26") else self._named(user)

    def _user(self, name: str) -> _Json:
        user = {"id": str(self.users[name]), "name": name, "createdAt": _stamp(datetime.now(UTC))}
        if self._is_before("0.24"):
            return user
        return user | {
            "displayName": self.display_names.get(name, ""),
            "email": self.emails.get(name, ""),
            "provider": "",
        }

    # Pre-auth keys

    def _route_key(self, method: str, parts: list[str], query: dict[str, str], body: _Json) -> _Json | None:
        match method, parts:
            case "GET", []:
                owner = None if self._masks else self._owner(query.get("user", ""))
                return {
                    "preAuthKeys": [
                        self._key(key, listed=True) for key in self.keys.values() if owner in (None, key.user)
                    ]
                }
            case "POST", []:
                return {"preAuthKey": self._create_key(body)}
            case "POST", ["expire"]:
                return self._expire_key(body)
            case "DELETE", [] if self._masks:
                return self._delete_key(int(query["id"]))
        return None

    def _create_key(self, body: _Json) -> _Json:
        secret = secrets.token_hex(24)
        if self._masks:
            secret = f"hskey-auth-{secrets.token_urlsafe(9)}-{secrets.token_urlsafe(48)}"
        key = _Key(
            self._id(),
            self._owner(body["user"]),
            secret,
            _moment(body["expiration"]),
            body["reusable"],
            body["ephemeral"],
            body["aclTags"],
        )
        _check_tags(key.tags, 400)
        self.keys[key.id] = key
        return self._key(key) | {"key": secret}

    def _expire_key(self, body: _Json) -> _Json:
        wanted = body["id"] if self._masks else body["key"]
        for key in self.keys.values():
            if wanted == (str(key.id) if self._masks else key.secret):
                if not self._masks and self._owner(body["user"]) != key.user:
                    raise _RefusalError(500, "preauth key does not belong to user")
                if key.used and self._is_before("0.24"):
                    raise _RefusalError(500, "AuthKey has already been used")
                key.expiration = datetime.now(UTC)
        return {}

    def _delete_key(self, key_id: int) -> _Json:
        self.keys.pop(key_id, None)
        for node in self.nodes.values():
            if node.key and node.key.id == key_id:
                node.key = None
        return {}

    def _key(self, key: _Key, *, listed: bool = False) -> _Json:
        return {
            "id": str(key.id),
            "user": self.emails.get(key.user, key.user) if self._is_before("0.26") else self._user(key.user),
            "key": f"{key.secret[:23]}-***" if self._masks else key.secret,
            "reusable": key.reusable,
            "ephemeral": key.ephemeral,
            "used": key.used,
            "expiration": _stamp(key.expiration),
            # 0.23 heeds them, and tells them in a user's list alone.
            "aclTags": [] if self._is_before("0.24") and not listed else key.tags,
        }

    # Nodes and routes

    def _route_node(self, method: str, parts: list[str], query: dict[str, str], body: _Json) -> _Json | None:
        match method, parts:
            case "GET", []:
                owner = self._existing(query["user"]) if "user" in query else None
                owned = [n for n in self.nodes.values() if owner is None or (n.user == owner and not self._tagged(n))]
                return {"nodes": [self._node(node, listed=True) for node in owned]}
            case "GET", [node_id]:
                return {"node": self._node(self._known(node_id))}
            case "DELETE", [node_id]:
                del self.nodes[self._known(node_id).id]
                return {}
            case "POST", [node_id, "rename", name]:
                return {"node": self._rename(self._known(node_id), name)}
            case "POST", [node_id, "tags"]:
                return {"node": self._tag(self._known(node_id), body["tags"])}
            case "POST", [node_id, "approve_routes"] if not self._is_before("0.26"):
                return {"node": self._approve(node_id, body["routes"])}
            case "GET", [node_id, "routes"] if self._is_before("0.26"):
                return {"routes": self._rows(self._known(node_id))}
        return None

    def _route_routes(self, method: str, parts: list[str], query: dict[str, str], body: _Json) -> _Json | None:
        match method, parts:
            case "GET", [] if self._is_before("0.26"):
                return {"routes": [row for node in self.nodes.values() for row in self._rows(node)]}
            case "POST", [row_id, "enable" | "disable" as action] if self._is_before("0.26"):
                return self._toggle(int(row_id), enable=action == "enable")
        return None

    def _known(self, node_id: str) -> _Node:
        if int(node_id) in self.nodes:
            return self.nodes[int(node_id)]
        old = self._is_before("0.27")
        raise _RefusalError(500, "record not found") if old else _RefusalError(404, "node not found")

    def _rename(self, node: _Node, name: str) -> _Json:
        if name in {other.given_name for other in self.nodes.values() if other is not node}:
            raise _RefusalError(500, "name is not unique")
        node.given_name = name
        return self._node(node)

    def _tagged(self, node: _Node) -> bool:
        """Whether the node is nobody's; 0.28 hides its owner in the list of all nodes alone."""
        return bool(node.tags) and not self._is_before("0.29")

    def _tag(self, node: _Node, tags: list[str]) -> _Json:
        _check_tags(tags, 500)
        if self._masks and not tags:
            raise _RefusalError(400, "cannot remove all tags from a node")
        if self._masks and not set(tags) <= set(json.loads(self.policy or "{}").get("tagOwners", {})):
            raise _RefusalError(400, "requested tags are invalid or not permitted")
        node.tags = tags
        answer = self._node(node)
        return self._unseen(answer)

    def _unseen(self, node: _Json) -> _Json:
        """A node that was changed, which servers before 0.27 answer without a look whether it is online."""
        return node | {"online": False} if self._is_before("0.27") else node

    def _node(self, node: _Node, *, listed: bool = False) -> _Json:
        about = {
            "id": str(node.id),
            "name": node.name,
            "givenName": node.given_name,
            "nodeKey": f"nodekey:{node.id:064x}",
            "discoKey": f"discokey:{node.id:064x}",
            "ipAddresses": [f"100.64.0.{node.id}", f"fd7a:115c:a1e0::{node.id:x}"],
            "user": self._user(node.user),
            "preAuthKey": self._key(node.key) if node.key else None,
            "online": node.online,
            "expiry": _stamp(node.expiry)
            if node.expiry
            else "0001-01-01T00:00:00Z"
            if self._is_before("0.25")
            else None,
        }
        if not self._is_before("0.26"):
            about |= {"approvedRoutes": node.approved, "availableRoutes": node.available}
        if not self._masks:
            return about | {"forcedTags": node.tags, "validTags": [], "invalidTags": []}
        if node.tags and listed:
            about["user"] = _TAGGED_DEVICES
        elif self._tagged(node):
            about["user"] = None
        return about | {"tags": node.tags}

    def _approve(self, node_id: str, routes: list[str]) -> _Json:
        if int(node_id) not in self.nodes:
            raise _RefusalError(400, f"node not found in node store: {node_id}")
        node = self.nodes[int(node_id)]
        both = set(EXIT_ROUTES) if set(EXIT_ROUTES) & set(routes) else set()
        node.approved = sorted({*routes, *both})
        return self._unseen(self._node(node))

    def _rows(self, node: _Node) -> list[_Json]:
        return [
            {
                "id": str(node.id * 10 + index),
                "node": self._node(node),
                "prefix": prefix,
                "advertised": True,
                "enabled": prefix in node.approved,
                "isPrimary": False,
            }
            for index, prefix in enumerate(node.available)
        ]

    def _toggle(self, row_id: int, *, enable: bool) -> _Json:
        node = self._known(str(row_id // 10))
        prefix = node.available[row_id % 10]
        routes = EXIT_ROUTES if prefix in EXIT_ROUTES else (prefix,)
        others = [route for route in node.approved if route not in routes]
        node.approved = [*others, *routes] if enable else others
        return {}

    # API keys

    def _route_api_key(self, method: str, parts: list[str], query: dict[str, str], body: _Json) -> _Json | None:
        match method, parts:
            case "GET", []:
                return {"apiKeys": [self._api_key(key) for key in self.api_keys.values()]}
            case "POST", []:
                return {"apiKey": self.new_api_key(_moment(body["expiration"]))}
            case "POST", ["expire"]:
                self._api_key_of(body["prefix"]).expiration = datetime.now(UTC)
                return {}
            case "DELETE", [prefix]:
                del self.api_keys[self._api_key_of(prefix).id]
                return {}
        return None

    def _api_key_of(self, prefix: str) -> _ApiKey:
        for key in self.api_keys.values():
            if prefix == (key.secret[10:22] if self._masks else key.secret.partition(".")[0]):
                return key
        raise _RefusalError(500, "record not found")

    def _api_key(self, key: _ApiKey) -> _Json:
        return {
            "id": str(key.id),
            "prefix": f"{key.secret[:22]}-***" if self._masks else key.secret.partition(".")[0],
            "expiration": _stamp(key.expiration),
            "createdAt": _stamp(key.created),
            "lastSeen": None,
        }

    # The policy

    def _route_policy(self, method: str, parts: list[str], query: dict[str, str], body: _Json) -> _Json | None:
        match method, parts:
            case "GET", []:
                return self._stored_policy()
            case "PUT", []:
                if self.policy_file is not None:
                    raise _RefusalError(500, "update is disabled for modes other than 'database'")
                self._check_policy(body["policy"], 500)
                self.policy = body["policy"]
                return self._stored_policy()
            case "POST", ["check"] if not self._is_before("0.29"):
                self._check_policy(body["policy"], 400)
                return {}
            case _, ["check"] if not self._is_before("0.29"):
                raise _RefusalError(501, "Method Not Allowed")
        return None

    def _stored_policy(self) -> _Json:
        """A file of the name "" is one that is not there."""
        if self.policy_file == "":
            raise _RefusalError(500, 'reading policy from path "": open : no such file or directory')
        if self.policy_file is not None:
            return {"policy": self.policy_file, "updatedAt": None}
        if self.policy is None:
            raise _RefusalError(500, "loading ACL from database: acl policy not found")
        return {"policy": self.policy, "updatedAt": _stamp(datetime.now(UTC))}

    def _check_policy(self, text: str, status: int) -> None:
        """What the suite asks: HuJSON, known sections, tags that the policy owns."""
        try:
            policy = jsonc.loads(text)
        except ValueError:
            raise _RefusalError(status, "parsing policy: parsing HuJSON: hujson: line 1") from None
        unknown = set(policy) - {"acls", "grants", "groups", "hosts", "ssh", "tagOwners"}
        if unknown and not self._is_before("0.27"):
            raise _RefusalError(status, f"parsing policy: unknown field: {min(unknown)!r}")
        if self._is_before("0.26") and not any(policy.get(section) for section in ("acls", "groups", "hosts")):
            raise _RefusalError(status, "loading ACL policy file: empty policy")
        named = {src for acl in policy.get("acls", []) for src in acl["src"] if src.startswith("tag:")}
        if unowned := named - set(policy.get("tagOwners", {})):
            raise _RefusalError(status, f"parsing policy: src=tag not defined in policy: {min(unowned)!r}")

    @property
    def _masks(self) -> bool:
        """Whether keys are masked and known by their id, and a tagged node is nobody's."""
        return not self._is_before("0.28")

    def _is_before(self, version: str) -> bool:
        return self.version < version

    def _id(self) -> int:
        self._ids += 1
        return self._ids


def _check_tags(tags: list[str], status: int) -> None:
    if any(not tag.startswith("tag:") for tag in tags):
        raise _RefusalError(status, "tag must start with the string 'tag:'")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
