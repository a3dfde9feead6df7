"""What tailscaled says of the mesh, on its own socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.agent.health import daemon_problems


@asynccontextmanager
async def tailscaled(path: Path, status: str, body: str) -> AsyncIterator[list[str]]:
    """A daemon that answers every request so; gives the requests' first lines and hosts."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.extend(line for line in head.splitlines() if line.startswith(("GET", "Host")))
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(answer, path)
    async with server:
        yield asked


async def problems(path: Path) -> list[str]:
    async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as http:
        return await daemon_problems(http, path)


async def test_a_connected_daemon_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with tailscaled(path, "200 OK", '{"BackendState": "Running"}') as asked:
        assert await problems(path) == []
    assert asked == ["GET /localapi/v0/status?peers=false HTTP/1.1", "Host: local-tailscaled.sock"]


async def test_a_daemon_that_has_not_joined_says_so(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with tailscaled(path, "200 OK", '{"BackendState": "NeedsLogin"}'):
        assert await problems(path) == ["tailscaled is not connected to the mesh: its state is NeedsLogin"]


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        ("403 Forbidden", "no", "HTTPStatusError"),
        ("200 OK", "no JSON", "JSONDecodeError"),
        ("200 OK", "{}", "KeyError"),
        ("200 OK", "[]", "TypeError"),
    ],
)
async def test_an_answer_that_is_none(tmp_path: Path, status: str, body: str, why: str) -> None:
    path = tmp_path / "socket"
    async with tailscaled(path, status, body):
        assert await problems(path) == [f"tailscaled does not answer on {path} ({why})"]


async def test_no_daemon_at_all(tmp_path: Path) -> None:
    assert await problems(tmp_path / "socket") == [
        f"tailscaled does not answer on {tmp_path / 'socket'} (ConnectError)"
    ]
