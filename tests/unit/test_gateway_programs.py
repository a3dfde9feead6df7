"""What a gateway's programs are told on bare metal; tests/unit/test_program.py has the pod's."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.agent.endpoints import WireGuardIdentity
from gateway.agent.live_settings import LIVE
from gateway.agent.protocols.wireguard.interface_process import InterfaceSettings
from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import load
from gateway.agent.tokens import Tokens
from infra import gateway_programs, secret_contents
from infra.settings.gateway import GatewaySettings
from tests.unit.agent.fakes import SERVER_KEY, key_pair

OTHER_KEY = key_pair().public

PLACES = gateway_programs.Places(
    private_key_file="/etc/meshgate/private-key",
    token_file="/etc/meshgate/tokens",
    state_dir="/var/lib/meshgate",
    tailscale_socket="/run/meshgate-tailscale/tailscaled.sock",
    interface="meshgate0",
    http_host="10.0.0.5",
    http_port=9000,
    previous_interface="meshgate1",
    previous_private_key_file="/etc/meshgate/previous-private-key",
)


def gateway(**changes: object) -> GatewaySettings:
    settings = {"name": "edge", "endpoint": "edge.example.com:51820", "target": "metal"} | changes
    return GatewaySettings.model_validate(settings)


def test_the_agent_takes_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = gateway(client_networks=["10.77.0.0/16", "fd77::/64"], dns=["192.0.2.53"], wireguard="userspace")
    agent = gateway_programs.agent_environment(edge, SERVER_KEY, PLACES) | gateway_programs.agent_settings(edge)
    for name, value in (agent | gateway_programs.interface_environment(edge, PLACES)).items():
        monkeypatch.setenv(name, value)
    settings = load(AgentSettings)
    interface = load(InterfaceSettings)
    assert (settings.http_host, settings.http_port, settings.listen_port) == ("10.0.0.5", 9000, 51820)
    assert settings.tailscale_socket == Path(PLACES.tailscale_socket)
    assert (settings.interface, interface.interface, interface.wireguard) == ("meshgate0", "meshgate0", "userspace")
    assert ([*map(str, settings.client_networks)], [*map(str, settings.dns)]) == (
        ["10.77.0.0/16", "fd77::/64"],
        ["192.0.2.53"],
    )


def test_the_agent_is_told_of_the_previous_key_until_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = gateway(previous_key={"port": 51819, "until": "2100-01-01"})
    agent = gateway_programs.agent_environment(edge, SERVER_KEY, PLACES, previous_public_key=OTHER_KEY)
    for name, value in (agent | gateway_programs.agent_settings(edge)).items():
        monkeypatch.setenv(name, value)
    settings = load(AgentSettings)
    assert settings.previous == WireGuardIdentity(
        "meshgate1", 51819, Path("/etc/meshgate/previous-private-key"), OTHER_KEY
    )
    assert settings.previous_until == datetime(2100, 1, 1, tzinfo=UTC)
    for name, value in gateway_programs.previous_interface_environment(edge, PLACES).items():
        monkeypatch.setenv(name, value)
    assert load(InterfaceSettings).interface == "meshgate1"
    ended = gateway(previous_key={"port": 51819, "until": "2020-01-01"})
    agent = gateway_programs.agent_environment(ended, SERVER_KEY, PLACES, previous_public_key=OTHER_KEY)
    assert not [name for name in agent | gateway_programs.agent_settings(ended) if "PREVIOUS" in name]


@pytest.mark.parametrize("changes", [{}, {"previous_key": {"port": 51819}}])
def test_what_is_told_to_a_running_agent_may_change(changes: dict[str, object]) -> None:
    told = gateway_programs.agent_settings(gateway(**changes))
    assert {name.removeprefix("MESHGATE_").lower() for name in told} <= LIVE
    assert not told.keys() & gateway_programs.agent_environment(gateway(), SERVER_KEY, PLACES).keys()


def test_the_agent_takes_the_token_file() -> None:
    current, previous, following, admin = (f"the-{name}-token-of-32" for name in ("current", "old", "next", "admin"))
    first = Tokens(secret_contents.token_file([current, "", following], admin=admin))
    assert first.grant(current) == first.grant(following) == frozenset({"register"})
    assert first.grant(admin) == frozenset({"register", "read", "admin"})
    assert secret_contents.tokens(secret_contents.token_file([current, "", following], admin=admin)) == {
        "value": current,
        "previous": "",
        "next": following,
        "admin": admin,
    }
    rotated_file = secret_contents.token_file([current, previous, following], admin=admin)
    assert secret_contents.tokens(rotated_file) == {
        "value": current,
        "previous": previous,
        "next": following,
        "admin": admin,
    }
    assert secret_contents.tokens("") is None
    rotated = Tokens(rotated_file)
    assert rotated.grant(previous) == frozenset({"register"})


def test_a_machine_has_no_cluster_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = gateway(node_ports=[443])
    agent = gateway_programs.agent_environment(edge, SERVER_KEY, PLACES) | gateway_programs.agent_settings(edge)
    for name, value in agent.items():
        monkeypatch.setenv(name, value)
    settings = load(AgentSettings)
    assert (settings.node_ports, settings.node_networks, settings.closed_networks) == ((443,), (), ())


@pytest.mark.parametrize(
    ("peers_url", "listener"),
    [
        ("http://10.0.0.5:9000", ("10.0.0.5", 9000)),
        ("http://[fd10:213::14]:9000", ("fd10:213::14", 9000)),
        ("http://10.0.0.5", ("10.0.0.5", 80)),
        ("https://gateway.example.com", ("127.0.0.1", 8080)),
        (None, ("127.0.0.1", 8080)),
    ],
)
def test_the_peer_api_of_a_machine_listens_where_it_is_asked_and_nowhere_else(
    peers_url: str | None, listener: tuple[str, int]
) -> None:
    assert gateway_programs.metal_listener(gateway(peers_url=peers_url)) == listener
