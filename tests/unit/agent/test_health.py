"""What is told to be missing: of the protocol, the firewall, the kernel, and by tailscaled on its own socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.agent import health
from gateway.agent.firewall import Firewall
from gateway.agent.health import Health, mesh_problems
from gateway.agent.settings import AgentSettings
from tests.unit.agent.fakes import SERVER_KEY, FakeAccess


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
        return await mesh_problems(http, path)


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


def made(directory: Path) -> AgentSettings:
    return AgentSettings(
        listen_port=51820,
        endpoint="vpn.example.org:51820",
        client_networks="10.77.0.0/24",
        private_key_file=directory,
        public_key=SERVER_KEY,
        token_file=directory,
        state_dir=directory,
        tailscale_socket=directory / "socket",
    )


async def test_everything_that_is_missing_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = made(tmp_path)
    access = FakeAccess()
    access.missing = ["nobody can come in"]
    monkeypatch.setattr(health, "forwards", lambda _: False)
    async with health.mesh_client(settings) as http:
        found = await Health(settings, [access], Firewall(settings), http).parts()
    assert found == {
        "openvpn": ["nobody can come in"],
        "firewall": ["the firewall table is not as it was put in place"],
        "forwarding": ["the kernel does not forward IPv4: set the sysctl net.ipv4.ip_forward=1 for this pod or host"],
        "mesh": [f"tailscaled does not answer on {settings.tailscale_socket} (ConnectError)"],
    }


async def test_what_was_found_is_good_for_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def look() -> dict[str, list[str]]:
        nonlocal asked
        asked += 1
        return {"mesh": ["it is away"]}

    settings = made(tmp_path)
    async with health.mesh_client(settings) as http:
        judge = Health(settings, [FakeAccess()], Firewall(settings), http)
        monkeypatch.setattr(judge, "_look", look)
        assert await asyncio.gather(*(judge.parts() for _ in range(20))) == [{"mesh": ["it is away"]}] * 20
        assert asked == 1
        monkeypatch.setattr(health, "GOOD_FOR_S", 0)
        monkeypatch.setattr(judge, "_good_until", 0)
        await judge.parts()
        await judge.parts()
    assert asked == 3
