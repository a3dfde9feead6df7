"""The Ansible module gateway_settings: a stack's rules for a machine, and what follows from them."""

import re
from typing import Any

import pytest

from gateway.agent.protocols.wireguard.interface_process import InterfaceSettings
from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import load
from infra import certificate_authority
from infra.curve25519 import generate_private_key, public_key
from tests.unit.agent.fakes import ended
from tests.unit.playbooks.modules import Outcome, run

# After `modules`, which lets it find what it shares.
from playbooks.library import gateway_settings  # isort: skip

GATEWAY = {
    "name": "edge",
    "endpoint": "vpn.example.com:51820",
    "peers_url": "http://10.0.0.5:8082",
    "probe_port": 8083,
    "client_networks": ["10.78.0.0/16", "fd78::/64"],
    "dns": ["10.0.0.53"],
    "mtu": 1400,
}
HEADSCALE = {"url": "https://headscale.example.com/"}


def _settings(gateway: dict[str, Any] | None = None, **arguments: object) -> Outcome:
    return run(gateway_settings, {"gateway": {**GATEWAY, **(gateway or {})}, "headscale": HEADSCALE, **arguments})


def _refused(gateway: dict[str, Any] | None = None, **arguments: object) -> list[str]:
    outcome = _settings(gateway, **arguments)
    assert outcome["failed"]
    return str(outcome["msg"]).splitlines()


def test_agent_understands_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    key = public_key(generate_private_key())
    told = _settings(public_key=key, interface="wg7", private_key_file="/a", token_file="/b", state_dir="/c")
    assert not told["changed"]
    for name, value in {**told["environment"], **told["wireguard"]["wireguard"]["environment"]}.items():
        monkeypatch.setenv(name, value)
    agent = load(AgentSettings)
    assert (agent.interface, agent.listen_port, agent.endpoint) == ("wg7", 51820, "vpn.example.com:51820")
    assert ([*map(str, agent.client_networks)], agent.mtu, agent.public_key) == (GATEWAY["client_networks"], 1400, key)
    assert [*map(str, agent.dns)] == ["10.0.0.53"]
    assert [*map(str, (agent.private_key_file, agent.token_file, agent.state_dir))] == ["/a", "/b", "/c"]
    assert (agent.http_host, agent.http_port) == ("10.0.0.5", 8082)
    assert agent.probe_port == told["probe_port"] == 8083
    interface = load(InterfaceSettings)
    assert (interface.interface, interface.wireguard) == ("wg7", "auto")


def test_what_the_roles_need() -> None:
    told = _settings()
    assert "MESHGATE_PUBLIC_KEY" not in told["environment"]
    assert (told["name"], told["port"], told["interface"]) == ("edge", 51820, "meshgate0")
    assert told["client_networks"] == GATEWAY["client_networks"]
    assert (told["http_host"], told["http_port"], told["peers_url"]) == ("10.0.0.5", 8082, GATEWAY["peers_url"])
    assert told["headscale"] == {"url": "https://headscale.example.com", "ca_certificate": None, "user": "meshgate"}
    assert (told["hostname"], told["in_mesh"], told["tailscale"]["port"]) == ("meshgate-edge", True, 41642)
    assert "--port=41642" in told["tailscale"]["arguments"]
    assert {
        "--login-server=https://headscale.example.com",
        "--hostname=meshgate-edge",
        "--advertise-exit-node",
    } <= set(told["tailscale"]["up_arguments"])


ISSUING = {"issuing_certificate": "a chain", "issuing_key": "a key"}


def test_an_issuing_certificate_that_certifies_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other playbooks need none, so it is no failure of the module."""
    ca, other = certificate_authority.make("a CA"), certificate_authority.make("a CA")
    issuing = certificate_authority.issuing(ca, "edge")
    ended_ca = ended(monkeypatch)
    for chain, key, problem in (
        (issuing.certificate + ca.certificate, issuing.key, r"^$"),
        (issuing.certificate + other.certificate, issuing.key, "these are not .*: the CA has not signed the issuing"),
        (issuing.certificate + ca.certificate, ca.key, "these are not .*: the issuing key is another certificate's"),
        ("a chain", "a key", "these are not an issuing certificate, followed by its CA's, and its key: "),
        (*ended_ca, "the gateway's issuing certificate has ended on "),
    ):
        told = _settings({"access": ["ipsec"]}, issuing_certificate=chain, issuing_key=key)
        assert re.match(problem, told["issuing_problem"]), told["issuing_problem"]
    unread = {"gateway": GATEWAY, "headscale": HEADSCALE, **ISSUING}
    assert run(gateway_settings, unread)["issuing_problem"] == "", "who offers WireGuard alone needs none"


ROTATED = {"endpoint": "vpn.example.com:51821", "previous_key": {"port": 51820, "until": "2100-01-01T00:00:00Z"}}


def test_the_agent_is_told_of_the_key_before_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    told = _settings(ROTATED, public_key=public_key(generate_private_key()))
    assert "MESHGATE_PREVIOUS_PUBLIC_KEY" not in told["environment"], "the role knows it"
    assert (told["port"], told["previous_port"], told["interfaces"]) == (51821, 51820, ["meshgate0", "meshgate1"])
    units = {name: (one["interface"], one["port"]) for name, one in told["wireguard"].items()}
    assert units == {"wireguard": ("meshgate0", 51821), "wireguard-1": ("meshgate1", 51820)}
    key = public_key(generate_private_key())
    for name, value in {**told["environment"], "MESHGATE_PREVIOUS_PUBLIC_KEY": key}.items():
        monkeypatch.setenv(name, value)
    agent = load(AgentSettings)
    assert agent.previous
    assert (agent.previous.interface, agent.previous.listen_port) == ("meshgate1", 51820)
    assert str(agent.previous_until) == "2100-01-01 00:00:00+00:00"
    assert told["interfaces"] == list(agent.client_interfaces)
    over = _settings(ROTATED | {"previous_key": {"port": 51820, "until": "2020-01-01"}})
    assert (over["previous_port"], list(over["wireguard"])) == (None, ["wireguard"])


@pytest.mark.parametrize("access", [["wireguard"], ["openvpn"], ["ipsec"], ["ipsec", "openvpn", "wireguard"]])
def test_the_agent_has_the_interfaces_that_the_roles_are_told_of(
    monkeypatch: pytest.MonkeyPatch, access: list[str]
) -> None:
    own = {"access": access} | ({"openvpn": {"udp_port": 1194, "tcp_port": 443}} if "openvpn" in access else {})
    told = _settings(own, public_key=public_key(generate_private_key()), **ISSUING)
    for name, value in told["environment"].items():
        monkeypatch.setenv(name, value)
    agent = load(AgentSettings)
    assert told["interfaces"] == list(agent.client_interfaces)
    assert set(agent.offered) == set(access)
    assert bool(told["port"]) == bool(told["wireguard"]) == ("wireguard" in access)
    assert "wireguard" not in told["servers"]


def test_a_plain_gateway_is_told_of_no_tailscaled() -> None:
    for told in (_settings(headscale=None), _settings({"mesh": False})):
        assert (told["in_mesh"], told["tailscale"]) == (False, None)
        assert not [name for name in told["environment"] if "TAILSCALE" in name]
    assert _settings(headscale=None)["headscale"] is None
    assert _settings({"mesh": False})["headscale"], "where the node is that it may still have"


def test_peer_api_is_the_machines_own_when_nobody_is_told_of_it() -> None:
    told = _settings({"peers_url": None})
    assert (told["http_host"], told["peers_url"]) == ("127.0.0.1", "http://127.0.0.1:8080")
    told = _settings({"peers_url": "https://vpn.example.com/edge"})
    assert (told["http_host"], told["peers_url"]) == ("127.0.0.1", "https://vpn.example.com/edge")


def test_refusals_name_the_setting_as_the_playbooks_do() -> None:
    assert _refused({"endpoint": "vpn.example.com", "mtu": 9000}) == [
        "meshgate_gateway.endpoint: 'vpn.example.com' is not host:port with a port from 1 to 65535, such as "
        "vpn.example.com:31820.",
        "meshgate_gateway.mtu: 9000 cannot be used: it should be less than or equal to 1420.",
    ]
    assert _refused({"client_networks": ["100.64.0.0/24"]}) == [
        "meshgate_gateway.client_networks[0]: 100.64.0.0/24 lies inside 100.64.0.0/10, whose addresses tailscaled "
        "drops; use for example 10.77.0.0/16."
    ]
    assert _refused({"tailscale_port": 51820}) == [
        "meshgate_gateway: endpoint port 51820 is also tailscale_port; they need two ports."
    ]
    assert _refused({"storage": "2Gi"}) == [
        "meshgate_gateway: storage describe a pod; leave them out or set target: kubernetes."
    ]
    key = generate_private_key()
    (refused,) = _refused({"private_key": key})
    assert refused.startswith("meshgate_gateway.private_key: it is a secret of a stack; here it is a variable of its ")
    assert key not in refused
    (unknown,) = _refused({"networks": []})
    assert unknown.startswith("meshgate_gateway.networks: there is no such setting; known here are access, ")
    assert _refused(headscale={"url": "http://headscale.example.com"}) == [
        "meshgate_headscale.url: 'http://headscale.example.com' would carry the API key in clear text; use https:// "
        "(a private CA goes into ca_certificate)."
    ]


def test_gateway_of_the_cluster_is_no_machine() -> None:
    assert _refused({"target": "kubernetes", "endpoint": "vpn.example.com:31820", "peers_url": None}) == [
        "meshgate_gateway: peers_url, probe_port describe a machine; leave them out or set target: metal."
    ]
    gateway = {"target": "kubernetes", "name": "edge", "endpoint": "vpn.example.com:31820"}
    outcome = run(gateway_settings, {"gateway": gateway, "headscale": HEADSCALE})
    assert outcome["msg"] == (
        "meshgate_gateway.target: a kubernetes gateway is made by `pulumi up`; a machine is metal."
    )
