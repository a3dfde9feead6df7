"""What a Headscale answers to all that the client asks, reduced to what the client reads.

recorded/ has it of real servers, one file for each served version. tests/contract and tests/prove hold the servers to
those files, and tests/unit the fake. A version without a file is recorded by the run of its real server.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx

from gateway.headscale import EXIT_ROUTES, responses
from gateway.headscale.client import Headscale
from gateway.headscale.errors import HeadscaleError
from gateway.headscale.models import Node, PreAuthKey, User, api_key_prefix
from tests.deadlines import wait_for

RECORDED = Path(__file__).parent / "recorded"
OWNER, TAG = "somebody", "tag:gateway"
_ENVELOPES = {"user", "users", "preAuthKey", "preAuthKeys", "node", "nodes", "routes", "apiKey", "apiKeys"}
_READ = _ENVELOPES | {
    *("id", "name", "displayName"),
    *("key", "reusable", "ephemeral", "used", "expiration", "aclTags"),
    *("givenName", "nodeKey", "discoKey", "ipAddresses", "online", "tags", "forcedTags"),
    *("approvedRoutes", "availableRoutes", "prefix", "advertised", "enabled", "publicKey"),
}
"""The fields that gateway/headscale/models.py names."""
_FORMS = {
    r"\d+": "ID",
    r"\d{4}-\d\d-\d\dT[\d:.]+Z": "TIME",
    r"(node|disco|m)key:[0-9a-f]{64}": r"\1key:HEX",
    r"100\.64\.\d+\.\d+": "IPV4",
    r"fd7a:115c:a1e0:[0-9a-f:]+": "IPV6",
    r"[0-9a-f]{48}": "KEY",
    r"hskey-(auth|api)-[\w-]{12}-\*\*\*": r"hskey-\1-PREFIX-***",
    r"hskey-(auth|api)-[\w-]{12}-[\w-]{64}": r"hskey-\1-PREFIX-SECRET",
    r"[\w-]{7}\.[\w-]{32}": "PREFIX.SECRET",
    r"[\w-]{10}\.[\w-]{43}": "LONGPREFIX.SECRET",
}
"""What differs from one run to the next, by its form."""


class Server(Protocol):
    """A real Headscale or the fake."""

    url: str

    def new_api_key(self, expiration: datetime) -> str:
        """As an administrator makes one on the server."""

    def join(self, auth_key: str, hostname: str, routes: tuple[str, ...]) -> None:
        """As a machine that comes up with a pre-auth key."""

    def own_tags(self, tags: tuple[str, ...]) -> None:
        """Let these tags be given."""


class _Recorder(httpx.BaseTransport):
    """Passes calls on and notes what comes back."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport
        self.noted: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._transport.handle_request(request)
        response.read()
        self.noted.append(f"{_asked(request)} -> {_answered(response)}")
        return response


def record(server: Server, transport: httpx.BaseTransport) -> list[str]:
    """Walk through all calls on an empty server; each with its answer, as one line."""
    api_key = server.new_api_key(_in(hours=1))
    recorder = _Recorder(transport)
    with (
        Headscale(server.url, api_key, transport=transport) as unheard,
        Headscale(server.url, api_key, transport=recorder) as client,
    ):
        with Headscale(server.url, "abcdefg." + "x" * 32, transport=recorder) as stranger, suppress(HeadscaleError):
            stranger.nodes()
        with suppress(HeadscaleError):
            client.user("nobody")
        owner = client.ensure_user(OWNER, stack_id="1b")
        plain, tagged = _joined(server, unheard, client, owner, ()), _joined(server, unheard, client, owner, (TAG,))
        _walk_nodes(client, plain, tagged, lambda: server.own_tags((TAG, "tag:other")))
        _walk_keys(client, owner)
        with suppress(HeadscaleError):
            client.delete_user(owner)
        for node in (plain, tagged, plain):
            with suppress(HeadscaleError):
                client.delete_node(node.id)
        with suppress(HeadscaleError):
            client.node(plain.id)
        client.delete_user(owner)
        with suppress(HeadscaleError):
            client.delete_user(owner)
        _walk_api_keys(client)
    return recorder.noted


def _joined(server: Server, unheard: Headscale, client: Headscale, owner: User, tags: tuple[str, ...]) -> Node:
    """A node that is connected and offers the exit routes, by a new key. Waiting for it is not noted."""
    key = client.create_pre_auth_key(owner, expiration=_in(hours=1), tags=tags)
    server.join(key.key.get_secret_value(), f"host-{len(tags)}", EXIT_ROUTES)

    def nodes() -> list[Node]:
        return [one for one in unheard.nodes() if one.pre_auth_key_id == key.id and one.connected and one.offers_exit]

    wait_for(lambda: bool(nodes()), "a node that is connected", within=30)
    return nodes()[0]


def _walk_nodes(client: Headscale, plain: Node, tagged: Node, own_tags: Callable[[], None]) -> None:
    client.nodes()
    client.nodes(OWNER)
    client.node(tagged.id)
    client.approve_routes(client.node(plain.id), EXIT_ROUTES)
    client.node(plain.id)
    own_tags()
    client.set_tags(tagged, [TAG, "tag:other"])
    for node, tags in ((plain, ["nonsense"]), (tagged, [])):
        with suppress(HeadscaleError):
            client.set_tags(node, tags)


def _walk_keys(client: Headscale, owner: User) -> None:
    expired, removed = (client.create_pre_auth_key(owner, expiration=_in(hours=1)) for _ in range(2))
    client.expire_pre_auth_key(owner, _listed(client, owner, expired))
    client.delete_pre_auth_key(owner, _listed(client, owner, removed))
    client.pre_auth_keys(owner)
    with suppress(HeadscaleError):
        client.create_pre_auth_key(owner, expiration=_in(hours=1), tags=("nonsense",))


def _listed(client: Headscale, owner: User, key: PreAuthKey) -> PreAuthKey:
    return next(one for one in client.pre_auth_keys(owner) if one.id == key.id)


def _walk_api_keys(client: Headscale) -> None:
    made = api_key_prefix(client.create_api_key(_in(hours=1)).get_secret_value())
    client.api_keys()
    client.expire_api_key(made)
    client.delete_api_key(made)
    with suppress(HeadscaleError):
        client.delete_api_key(made)
    client.noise_key()


def hold(version: str, seen: list[str], *, may_record: bool = False) -> None:
    """Hold these answers to those that a server of that version gave."""
    file = RECORDED / f"{version}.txt"
    if may_record and not file.exists():
        file.write_text("".join(f"{line}\n" for line in seen))
    assert seen == file.read_text().splitlines()


def _asked(request: httpx.Request) -> str:
    path = "/".join(map(_reduced_segment, request.url.path.removeprefix("/api/v1/").split("/")))
    query = "&".join(f"{name}={_reduced_segment(value)}" for name, value in request.url.params.items())
    return f"{request.method} {path}" + (f"?{query}" if query else "")


def _reduced_segment(text: str) -> str:
    """A part of a path; an API key's prefix stands alone there."""
    return (
        "PREFIX" if re.fullmatch(r"[\w-]{7}|[\w-]{10}|[\w-]{12}", text) and text not in _WORDS else str(_reduced(text))
    )


_WORDS = {"preauthkey", "approve_routes"}
_MASK = "***"


def _answered(response: httpx.Response) -> str:
    try:
        document = responses.payload("the server", response)
    except HeadscaleError as error:
        return f"{response.status_code} {type(error).__name__}"
    return f"{response.status_code} {json.dumps(_reduced(document), sort_keys=True)}"


def _reduced(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, dict):
        if "advertised" in value:  # a row of the routes API, of whose node the id alone is read
            value = value | {"node": {"id": value["node"]["id"]}}
        elif "prefix" in value and _MASK not in value["prefix"]:  # an API key before 0.28
            value = value | {"prefix": "PREFIX"}
        return {name: _reduced(one) for name, one in value.items() if name in _READ}
    if isinstance(value, list):
        # A server tells them in no order that the client would rely on.
        return sorted((_reduced(one) for one in value), key=str)
    if isinstance(value, str):
        for form, short in _FORMS.items():
            if match := re.fullmatch(form, value):
                return match.expand(short)
    return value


def _in(**duration: float) -> datetime:
    return datetime.now(UTC) + timedelta(**duration)
