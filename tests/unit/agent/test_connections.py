"""Callers that leave things undone, on real sockets: each has its deadline, and none of them is in another's way."""

import asyncio
import contextlib
import errno
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from unittest.mock import Mock

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request, Response
from uvicorn.server import ServerState

from gateway.agent import connections, server, throttling
from gateway.agent.admission import Admission, Bounds
from gateway.agent.authentication import Authentication
from gateway.agent.request_limits import BodyLimits
from gateway.agent.server import API_BOUNDS, listen, serve
from gateway.agent.throttling import FAILURES, SLOW_AT_ONCE, Failures
from gateway.agent.tokens import Tokens

TOKEN = "the-one-right-token"
GOOD = f"Authorization: Bearer {TOKEN}"
LARGE = 4 * 1024 * 1024
SOON = 0.3
"""A deadline for tests, in seconds."""
NEVER = 60.0

Connect = Callable[..., Awaitable["Caller"]]


class Caller:
    """A connection that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *lines: str, body: str = "") -> None:
        self.writer.write("\r\n".join((*lines, "", body)).encode())

    def ask(self, path: str, *headers: str) -> None:
        self.send(f"GET {path} HTTP/1.1", "Host: agent", *headers)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
        return int(head.split()[1]), await self.reader.readexactly(int(length))

    def abort(self) -> None:
        self.writer.transport.abort()

    async def ended(self) -> bytes:
        """What comes before the other end ends it."""
        with contextlib.suppress(ConnectionResetError):
            return await self.reader.read()
        return b""


def application() -> FastAPI:
    app = FastAPI()
    app.add_middleware(BodyLimits)
    app.add_middleware(Authentication, grant=Tokens(f"admin {TOKEN}").grant)

    @app.get("/")
    async def small() -> str:
        return "here"

    @app.get("/large")
    async def large() -> Response:
        return Response(bytes(LARGE))

    @app.post("/")
    async def echo(request: Request) -> Any:  # noqa: ANN401
        return await request.json()

    return app


@asynccontextmanager
async def serving(
    bounds: Bounds = API_BOUNDS, app: FastAPI | None = None, listener: socket.socket | None = None
) -> AsyncIterator[Connect]:
    """A server, and what connects to it, from an address of this machine."""
    listener = listener or listen("PORT", "127.0.0.1", 0)
    port = listener.getsockname()[1]
    task = asyncio.create_task(serve(app or application(), listener, bounds=bounds))
    async with AsyncExitStack() as made:

        async def connect(address: str = "127.0.0.1", **options: int) -> Caller:
            ours = socket.socket()
            for option, value in options.items():
                ours.setsockopt(socket.SOL_SOCKET, getattr(socket, option), value)
            ours.setblocking(False)
            ours.bind((address, 0))
            await asyncio.get_running_loop().sock_connect(ours, ("127.0.0.1", port))
            caller = Caller(*await asyncio.open_connection(sock=ours, limit=2 * LARGE))
            made.callback(caller.abort)
            return caller

        yield connect
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_whoever_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_DEADLINE_S", SOON)
    async with serving() as connect:
        silent = await connect()
        assert await silent.ended() == b""


async def test_a_head_that_comes_byte_by_byte_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_DEADLINE_S", SOON)
    async with serving() as connect:
        slow = await connect()

        async def trickle() -> None:
            slow.writer.write(b"GET / HTTP/1.1\r\n")
            while True:
                slow.writer.write(b"A: a\r\n")
                await asyncio.sleep(SOON / 10)

        trickling = asyncio.create_task(trickle())
        assert await slow.ended() == b""
        trickling.cancel()


async def test_an_idle_connection_is_ended_after_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "IDLE_DEADLINE_S", 1)
    async with serving() as connect:
        caller = await connect()
        for _ in range(2):
            caller.ask("/", GOOD)
            assert await caller.answer() == (200, b'"here"')
        assert await caller.ended() == b""


async def test_a_reader_that_stops_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READER_DEADLINE_S", SOON)
    monkeypatch.setattr(server, "IDLE_DEADLINE_S", NEVER)
    lost = asyncio.Event()
    lose = connections.Connection.connection_lost

    def tell(self: connections.Connection, error: Exception | None) -> None:
        lose(self, error)
        lost.set()

    monkeypatch.setattr(connections.Connection, "connection_lost", tell)
    async with serving() as connect:
        caller = await connect(SO_RCVBUF=4096)
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        caller.ask("/large", GOOD)
        caller.ask("/large", GOOD)
        await asyncio.wait_for(lost.wait(), 10)


async def test_a_reader_that_is_only_slow_is_not() -> None:
    transport = Mock(**{"get_extra_info.return_value": None})
    loop = Mock()
    connection = connections.Connection(
        uvicorn.Config(FastAPI(), log_config=None), ServerState(), "a", Failures(), Admission(API_BOUNDS)
    )
    connection.loop = loop
    connection.connection_made(transport)
    sizes = [100, 60, 1, 1]
    checks: list[Callable[[], None]] = []
    transport.get_write_buffer_size.side_effect = lambda: sizes[len(checks)]
    connection.pause_writing()
    while not transport.abort.called:
        (_, check), _ = loop.call_later.call_args
        checks.append(check)
        check()
    assert len(checks) == 3, "only the third found that nothing was taken since the last"


@pytest.mark.parametrize("addresses", [1, 200])
async def test_silent_connections_change_nothing_for_an_honest_caller(addresses: int) -> None:
    async with serving() as connect:
        pooled = await connect()
        pooled.ask("/", GOOD)
        assert (await pooled.answer())[0] == 200
        for number in range(600):
            await connect(f"127.1.0.{1 + number % addresses}")
        for _ in range(3):
            pooled.ask("/", GOOD)
            assert await pooled.answer() == (200, b'"here"')
            new = await connect()
            new.ask("/", GOOD)
            assert await new.answer() == (200, b'"here"')


async def test_silent_connections_of_its_own_address_change_nothing_either() -> None:
    async with serving() as connect:
        for _ in range(300):
            await connect()
        honest = await connect()
        honest.ask("/", GOOD)
        assert await honest.answer() == (200, b'"here"')


async def test_an_address_with_too_many_requests_at_once_is_told_to_wait() -> None:
    app, go_on = FastAPI(), asyncio.Event()

    @app.get("/")
    async def wait() -> None:
        await go_on.wait()

    async with serving(Bounds(total=6, each=4), app) as connect:
        busy = [await connect() for _ in range(4)]
        for caller in busy:
            caller.ask("/")
        refused = await connect()
        status, body = await refused.answer()
        assert (status, json.loads(body)["status"]) == (429, 429)
        go_on.set()
        assert [(await caller.answer())[0] for caller in busy] == [200] * 4


async def test_wrong_tokens_make_an_address_slow_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SLOW_START_S", SOON)
    monkeypatch.setattr(throttling, "FAILURE_FORGOTTEN_S", NEVER)
    async with serving() as connect:
        trusted = await connect("127.1.0.1")
        trusted.ask("/", GOOD)
        assert (await trusted.answer())[0] == 200

        guesser = await connect("127.1.0.1")
        for _ in range(FAILURES):
            guesser.ask("/", "Authorization: Bearer guess")
            assert (await guesser.answer())[0] == 401
        assert await guesser.ended() == b"", "a stranger's last failure ends its connection"

        guesses = [await connect("127.1.0.1") for _ in range(SLOW_AT_ONCE + 5)]
        for guess in guesses:
            guess.ask("/", "Authorization: Bearer guess")
        answers = [(await guess.answer())[0] for guess in guesses]
        # The first one's connection may not be gone yet.
        assert answers.count(401) in {SLOW_AT_ONCE, SLOW_AT_ONCE - 1}
        assert answers.count(429) == len(guesses) - answers.count(401)

        trusted.ask("/", GOOD)
        assert (await trusted.answer())[0] == 200, "a connection that showed the token goes on"
        other = await connect("127.1.0.2")
        other.ask("/", GOOD)
        assert (await other.answer())[0] == 200


async def test_a_good_token_from_a_slow_address_waits_and_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SLOW_START_S", SOON)
    monkeypatch.setattr(throttling, "FAILURE_FORGOTTEN_S", NEVER)
    async with serving() as connect:
        guesser = await connect()
        for _ in range(FAILURES):
            guesser.ask("/")
            assert (await guesser.answer())[0] == 401
        honest = await connect()
        honest.ask("/", GOOD)
        assert (await honest.answer())[0] == 200


async def test_who_has_no_token_need_not_be_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER_S", SOON)
    async with serving() as connect:
        caller = await connect()
        caller.send("POST / HTTP/1.1", "Host: agent", "Content-Length: 1000000000", body="x" * 20_000)
        assert (await caller.answer())[0] == 401
        assert await caller.ended() == b""

        caller = await connect()
        caller.send("POST / HTTP/1.1", "Host: agent", "Content-Length: 20000", body="x" * 20_000)
        assert (await caller.answer())[0] == 401


async def test_a_body_that_does_not_come_is_answered_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LINGER_S", SOON)
    app = FastAPI()
    app.add_middleware(BodyLimits, deadline_s=SOON)
    async with serving(app=app) as connect:
        caller = await connect()
        caller.send("POST / HTTP/1.1", "Host: agent", "Content-Length: 100", body="half")
        assert (await caller.answer())[0] == 408
        assert await caller.ended() == b""


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000,
        b"\r\n\r\n{}",
    ],
)
async def test_what_is_no_http_is_a_problem_too(nonsense: bytes) -> None:
    async with serving() as connect:
        caller = await connect()
        caller.writer.write(nonsense + b"\r\n\r\n")
        status, body = await caller.answer()
        assert status == 400
        assert json.loads(body)["detail"] == "the request is not HTTP/1.1, or its head is too large"
        assert await caller.ended() == b""


async def test_nonsense_in_place_of_a_body_ends_the_request_too() -> None:
    async with serving() as connect:
        caller = await connect()
        caller.send("POST / HTTP/1.1", "Host: agent", GOOD, "Transfer-Encoding: chunked", body="2\r\n{}\r\nzz\r\n")
        assert (await caller.answer())[0] == 400
        assert await caller.ended() == b""


class WithoutDescriptors(socket.socket):
    """A listener in a process that has no descriptor free, once."""

    refused = False

    def accept(self) -> tuple[socket.socket, Any]:
        if not type(self).refused:
            type(self).refused = True
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


async def test_without_descriptors_the_oldest_idle_connection_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WithoutDescriptors, "refused", True)
    listener = WithoutDescriptors(fileno=listen("PORT", "127.0.0.1", 0).detach())
    async with serving(listener=listener) as connect:
        silent, trusted = await connect(), await connect()
        trusted.ask("/", GOOD)
        assert (await trusted.answer())[0] == 200

        WithoutDescriptors.refused = False
        honest = await connect()
        honest.ask("/", GOOD)
        assert (await honest.answer())[0] == 200
        assert WithoutDescriptors.refused
        assert await silent.ended() == b""
        trusted.ask("/", GOOD)
        assert (await trusted.answer())[0] == 200


async def test_what_is_being_answered_at_the_end_is_answered() -> None:
    app, called, go_on = FastAPI(), asyncio.Event(), asyncio.Event()

    @app.get("/")
    async def wait() -> None:
        called.set()
        await go_on.wait()

    listener = listen("PORT", "127.0.0.1", 0)
    task = asyncio.create_task(serve(app, listener))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", trust_env=False) as http:
        answer = asyncio.create_task(http.get("/"))
        await called.wait()
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert (await answer).status_code == 200
        with pytest.raises(asyncio.CancelledError):
            await task
