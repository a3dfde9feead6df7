"""Any request that HTTP can carry, and what must hold of its answer. tests/prove sends more of them."""

import json
import logging
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import quote_from_bytes, unquote

from fastapi import FastAPI
from hypothesis import strategies as st
from starlette.types import Message

from gateway.agent import audit, request_audit
from gateway.agent.certificates import certified, device_id, new_key
from gateway.agent.protocol import ProfileFormat
from tests.unit.agent.test_certificates import request

MEDIA_TYPE = "application/problem+json"
KEY = "//8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+8="
ROUTES = ("/v1/peers", "/v1/peers/{public_key}", "/v1/peers/{public_key}/profile")
_OWN = new_key()
REQUEST, ID = request(_OWN), device_id(certified(_OWN))
"""A certificate request as it should be, and the device that it makes."""
UNROUTED = {401, 404, 405, 408, 413}
"""What may be answered where there is no call."""


@dataclass(frozen=True)
class Call:
    """A request, as a server hands it to the application."""

    method: str
    raw_path: str
    query: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


def in_url(key: str) -> str:
    """URL-safe base64."""
    return key.replace("/", "_").replace("+", "-")


def calls(token: str) -> st.SearchStrategy[Call]:
    """Requests of which half are nearly right: they register devices of every protocol, find and revoke them."""
    return _any_calls(token) | _registrations(token) | _calls_of_devices(token)


def _registrations(token: str) -> st.SearchStrategy[Call]:
    return st.builds(
        Call,
        method=st.just("POST"),
        raw_path=st.just(ROUTES[0]),
        query=st.just(b""),
        headers=_good_headers(token),
        body=_bodies(),
    )


def _calls_of_devices(token: str) -> st.SearchStrategy[Call]:
    devices = st.sampled_from([KEY, ID]).map(lambda key: f"{ROUTES[0]}/{in_url(key)}")
    return st.builds(
        Call,
        method=st.sampled_from(["GET", "GET", "DELETE"]),
        raw_path=st.tuples(devices, st.sampled_from(["", "/profile"])).map("".join),
        query=st.sampled_from(["", *(f"format={name}" for name in get_args(ProfileFormat))]).map(str.encode),
        headers=_good_headers(token),
        body=st.just(b""),
    )


def _good_headers(token: str) -> st.SearchStrategy[list[tuple[bytes, bytes]]]:
    return st.just([(b"authorization", f"Bearer {token}".encode()), (b"content-type", b"application/json")])


def _any_calls(token: str) -> st.SearchStrategy[Call]:
    visible = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
    anything = st.binary(max_size=40).map(quote_from_bytes) | st.text(visible, max_size=40)
    keys = st.sampled_from([KEY, in_url(KEY), in_url(ID), KEY[:-1]]) | anything
    below = st.tuples(keys, st.sampled_from(["", "/profile"])).map("".join)
    paths = st.just("/v1/peers") | below.map(lambda path: f"/v1/peers/{path}") | anything.map(lambda path: f"/{path}")
    values = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte not in b"\r\n\0").strip())
    good = st.just(f"Bearer {token}".encode())
    authorization = good | good | good | values | values.map(lambda value: b"Bearer " + value)
    kinds = st.sampled_from([b"application/json", b"text/plain", b"multipart/form-data; boundary=x"]) | values
    headers = st.tuples(
        authorization.map(lambda value: (b"authorization", value)),
        kinds.map(lambda value: (b"content-type", value)),
        st.tuples(st.sampled_from([b"accept", b"content-length", b"expect", b"x-forwarded-for"]), values),
    ).map(list)
    names = st.sampled_from([b"limit", b"cursor", b"format"])
    queries = st.tuples(names, anything.map(str.encode)).map(b"=".join) | anything.map(str.encode)
    return st.builds(
        Call,
        method=st.sampled_from(["GET", "POST", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"])
        | st.text(st.characters(min_codepoint=0x41, max_codepoint=0x5A), min_size=1, max_size=8),
        raw_path=paths,
        query=queries,
        headers=headers,
        body=_bodies(),
    )


def _bodies() -> st.SearchStrategy[bytes]:
    kinds = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(KEY)
    scalars = kinds.map(lambda value: value)  # else each kind would be as likely as what is right
    fields = st.sampled_from(["public_key", "name", "ttl_seconds", "preshared_key", "protocol", "make_key"]) | st.text()
    values = st.recursive(scalars, lambda inner: st.dictionaries(fields, inner) | st.lists(inner), max_leaves=6)
    nearly = st.fixed_dictionaries(
        {},
        optional={
            "public_key": st.just(KEY) | scalars,
            "make_key": st.booleans() | scalars,
            "profile_format": st.sampled_from(get_args(ProfileFormat)) | scalars,
            "name": st.text() | scalars,
            "ttl_seconds": st.integers() | scalars,
            "preshared_key": st.just(KEY) | scalars,
        },
    )
    cut = st.integers(0, len(REQUEST)).map(lambda length: REQUEST[:length])
    with_certificate = st.fixed_dictionaries(
        {"protocol": st.sampled_from(["openvpn", "ipsec"]) | scalars},
        optional={
            "certificate_request": st.just(REQUEST) | cut | scalars,
            "make_key": st.booleans() | scalars,
            "profile_format": st.sampled_from(get_args(ProfileFormat)) | scalars,
            "name": st.just("phone") | st.text() | scalars,
            "ttl_seconds": st.integers(1, 9) | st.integers() | scalars,
        },
    )
    right = st.builds(
        dict[str, object].__or__,
        st.sampled_from([{"certificate_request": REQUEST}, {"make_key": True}]),
        st.fixed_dictionaries(
            {"protocol": st.sampled_from(["openvpn", "ipsec"])},
            optional={
                "profile_format": st.sampled_from(get_args(ProfileFormat)),
                "name": st.text(),
                "ttl_seconds": st.integers(1, 9),
            },
        ),
    )
    bodies = (values | nearly | with_certificate | right).map(lambda value: json.dumps(value).encode())
    return bodies | bodies | bodies | st.binary(max_size=200)


async def ask(app: FastAPI, call: Call) -> Answer:
    """Call the application as uvicorn does."""
    sent: list[Message] = []
    left = [{"type": "http.request", "body": call.body, "more_body": False}]

    async def receive() -> Message:
        return left.pop() if left else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
        "method": call.method,
        "root_path": "",
        "path": unquote(call.raw_path.partition("?")[0]),
        "raw_path": call.raw_path.encode(),
        "query_string": call.query,
        "headers": call.headers,
        "state": {},
    }
    await app(scope, receive, send)
    start, *parts = sent
    return Answer(start["status"], dict(start["headers"]), b"".join(part.get("body", b"") for part in parts))


class Logged(logging.Handler):
    """All lines of the log but those of the audit, which has one for each refusal."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in {audit.__name__, request_audit.__name__}:
            self.lines.append(record.getMessage())


async def check(app: FastAPI, call: Call) -> None:
    """Ask, and hold the answer against what must be true of all."""
    logged = Logged()
    logging.getLogger().addHandler(logged)
    try:
        answer = await ask(app, call)
    finally:
        logging.getLogger().removeHandler(logged)
    assert not logged.lines
    assert answer.status < 500 or answer.status == 507, answer
    assert all(b"\n" not in value and b"\r" not in value for value in answer.headers.values())
    declared = _declared(app.openapi(), call)
    assert answer.status in (UNROUTED if declared is None else declared), (answer, declared)
    if answer.status >= 400 and call.method != "HEAD":
        assert answer.headers[b"content-type"] == MEDIA_TYPE.encode()
        members = json.loads(answer.body)
        assert members["status"] == answer.status
        assert members["detail"]
        assert members["detail"].isprintable()


def _declared(openapi: dict[str, Any], call: Call) -> set[int] | None:
    """The statuses that the OpenAPI has for this call; None if there is no such call."""
    path = unquote(call.raw_path.partition("?")[0])
    route = path if path == ROUTES[0] else ROUTES[1] if path.startswith(f"{ROUTES[0]}/") else ""
    if route == ROUTES[1] and path.endswith("/profile") and call.method == "GET":
        route = ROUTES[2]
    found = openapi["paths"].get(route, {}).get(call.method.lower())
    return None if found is None else {int(status) for status in found["responses"]}
