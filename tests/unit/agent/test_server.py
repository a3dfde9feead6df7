"""The API's socket."""

import socket
from collections.abc import Callable

import pytest

from gateway.agent.server import listen
from gateway.agent.settings import Settings, SettingsError
from tests.unit.agent.fakes import SERVER_KEY

Make = Callable[[int], Settings]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Make:
    def make(port: int) -> Settings:
        environment = {
            "LISTEN_PORT": "31820",
            "ENDPOINT": "vpn.example.com:31820",
            "CLIENT_NETWORKS": "10.77.0.0/24",
            "PRIVATE_KEY_FILE": "/dev/null",
            "PUBLIC_KEY": SERVER_KEY,
            "TOKEN_FILE": "/dev/null",
            "STATE_DIR": "/nowhere",
            "HTTP_HOST": "127.0.0.1",
        }
        for name, value in environment.items():
            monkeypatch.setenv(f"MESHGATE_{name}", value)
        return Settings().model_copy(update={"http_port": port})

    return make


def test_answers_are_sent_without_waiting_for_acknowledgements(settings: Make) -> None:
    with listen(settings(0)) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_named(settings: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"MESHGATE_HTTP_PORT: cannot listen on 127.0.0.1, port {port}"):
            listen(settings(port))
