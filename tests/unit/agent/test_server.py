"""The API's socket."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trustme
from fastapi import FastAPI

from gateway.agent import server
from gateway.agent.admission import Bounds
from gateway.agent.server import certificate, listen, serve
from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError
from gateway.agent.value_types import EVERY_ADDRESS
from tests.unit.agent.fakes import SERVER_KEY

Make = Callable[[], AgentSettings]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Make:
    def make() -> AgentSettings:
        environment = {
            "LISTEN_PORT": "31820",
            "ENDPOINT": "vpn.example.com:31820",
            "CLIENT_NETWORKS": "10.77.0.0/24",
            "PRIVATE_KEY_FILE": "/dev/null",
            "PUBLIC_KEY": SERVER_KEY,
            "TOKEN_FILE": "/dev/null",
            "STATE_DIR": "/nowhere",
        }
        for name, value in environment.items():
            monkeypatch.setenv(f"MESHGATE_{name}", value)
        return AgentSettings()

    return make


def test_answers_are_sent_without_waiting_for_acknowledgements() -> None:
    with listen("PORT", "127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"MESHGATE_HTTP_PORT: cannot listen on 127.0.0.1, port {port}"):
            listen("MESHGATE_HTTP_PORT", "127.0.0.1", port)


def with_certificate(settings: AgentSettings, directory: Path, ca: trustme.CA) -> AgentSettings:
    files = {"tls_certificate_file": directory / "api.crt", "tls_private_key_file": directory / "api.key"}
    issued = ca.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(files["tls_certificate_file"])
    issued.private_key_pem.write_to_path(files["tls_private_key_file"])
    return settings.model_copy(update=files)


async def test_with_a_certificate_the_api_answers_https_alone(settings: Make, tmp_path: Path) -> None:
    ca, trust = trustme.CA(), ssl.create_default_context()
    ca.configure_trust(trust)
    secured = with_certificate(settings(), tmp_path, ca)
    app = FastAPI()
    app.get("/healthz")(lambda: "alive")
    with listen("PORT", "127.0.0.1", 0) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(serve(app, listener, certificate(secured)))
        async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
            assert (await http.get(f"https://{address}/healthz")).json() == "alive"
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(f"http://{address}/healthz")
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def test_whoever_begins_no_tls_is_in_nobodys_way(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_DEADLINE_S", 0.3)
    ca, trust = trustme.CA(), ssl.create_default_context()
    ca.configure_trust(trust)
    tls = certificate(with_certificate(settings(), tmp_path, ca))
    app = FastAPI()
    app.get("/")(lambda: "here")
    with listen("PORT", "127.0.0.1", 0) as listener:
        host, port = listener.getsockname()
        serving = asyncio.create_task(serve(app, listener, tls, Bounds(total=8, each=4)))
        silent = [await asyncio.open_connection(host, port) for _ in range(50)]
        async with httpx.AsyncClient(verify=trust, trust_env=False) as http:
            assert (await http.get(f"https://{host}:{port}/")).json() == "here"
        for reader, writer in silent:
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def test_a_certificate_that_cannot_be_used_is_named(settings: Make, tmp_path: Path) -> None:
    secured = with_certificate(settings(), tmp_path, trustme.CA())
    assert certificate(settings()) is None
    for file, content in ((tmp_path / "api.key", "nonsense"), (tmp_path / "api.crt", None)):
        file.write_text(content) if content else file.unlink()
        with pytest.raises(SettingsError, match=f"MESHGATE_TLS_CERTIFICATE_FILE: {tmp_path / 'api.crt'} and "):
            certificate(secured)


def test_every_address_is_of_ipv6_and_of_ipv4() -> None:
    with listen("PORT", EVERY_ADDRESS, 0) as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), timeout=1):
                pass


def test_without_ipv6_it_is_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listen("PORT", EVERY_ADDRESS, 0) as listener:
        assert (listener.family, listener.getsockname()[0]) == (socket.AF_INET, "0.0.0.0")  # noqa: S104
