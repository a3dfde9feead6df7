import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from gateway.agent.protocols.wireguard.interface_process import InterfaceSettings
from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError, load, read_secret
from tests.unit.agent.fakes import key_pair, unwireguarded

GOOD = {
    "LISTEN_PORT": "51820",
    "ENDPOINT": "vpn.example.org:51820",
    "CLIENT_NETWORKS": "10.77.0.0/24, fd77::/64",
    "PRIVATE_KEY_FILE": "/etc/meshgate/private-key",
    "PUBLIC_KEY": "hIA3ikjlSOAo0qqrI+rXaS3ZH04nx7Q2YQ4m2Syzi38=",
    "TOKEN_FILE": "/etc/meshgate/token",
    "STATE_DIR": "/var/lib/meshgate",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith("MESHGATE_"):
            monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(f"MESHGATE_{name}", value)
    return monkeypatch


def test_what_is_not_said_has_a_default(environment: pytest.MonkeyPatch) -> None:
    settings = load(AgentSettings)
    assert settings.interface == "wg0"
    assert settings.client_networks == (ip_network("10.77.0.0/24"), ip_network("fd77::/64"))
    assert settings.allowed_ips == (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert settings.dns == ()
    assert (settings.mtu, settings.persistent_keepalive, settings.http_port) == (1280, 25, 8080)
    assert settings.probe_port == 8081
    assert (settings.allow_networks, settings.block_networks) == ((), ())
    assert (settings.node_addresses, settings.node_networks, settings.node_ports) == ((), (), ())
    assert settings.tailscale_socket is None
    assert load(InterfaceSettings).wireguard == "auto"


def test_empty_lists_and_no_mesh(environment: pytest.MonkeyPatch) -> None:
    for name in ("DNS", "NODE_PORTS", "TAILSCALE_SOCKET"):
        environment.setenv(f"MESHGATE_{name}", "")
    settings = load(AgentSettings)
    assert (settings.dns, settings.node_ports, settings.tailscale_socket) == ((), (), None)


PREVIOUS = {
    "PREVIOUS_INTERFACE": "wg1",
    "PREVIOUS_LISTEN_PORT": "51821",
    "PREVIOUS_PRIVATE_KEY_FILE": "/etc/meshgate/previous-private-key",
    "PREVIOUS_PUBLIC_KEY": key_pair().public,
}


def test_a_previous_key_has_an_interface_and_a_port_of_its_own(environment: pytest.MonkeyPatch) -> None:
    assert load(AgentSettings).previous is None
    for name, value in PREVIOUS.items():
        environment.setenv(f"MESHGATE_{name}", value)
    environment.setenv("MESHGATE_PREVIOUS_UNTIL", "2026-12-31T00:00:00Z")
    settings = load(AgentSettings)
    assert settings.previous is not None
    assert settings.client_interfaces == ("wg0", "wg1")
    assert settings.client_ports == (("udp", 51820), ("udp", 51821))
    assert settings.previous_until == datetime(2026, 12, 31, tzinfo=UTC)
    environment.setenv("MESHGATE_PREVIOUS_UNTIL", "")
    assert load(AgentSettings).previous_until is None, "as a ConfigMap says it"


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            {"PREVIOUS_INTERFACE": None},
            "the previous key needs all of its settings, and has no MESHGATE_PREVIOUS_INTER",
        ),
        ({"PREVIOUS_INTERFACE": "wg0"}, "MESHGATE_PREVIOUS_INTERFACE is the same as MESHGATE_INTERFACE"),
        ({"PREVIOUS_LISTEN_PORT": "51820"}, "MESHGATE_PREVIOUS_LISTEN_PORT is the same as MESHGATE_LISTEN_PORT"),
        ({"PREVIOUS_PUBLIC_KEY": GOOD["PUBLIC_KEY"]}, "MESHGATE_PREVIOUS_PUBLIC_KEY is the same as"),
        ({"PREVIOUS_UNTIL": "2026-12-31T00:00:00"}, "MESHGATE_PREVIOUS_UNTIL: Input should have timezone info"),
        (
            {"LISTEN_PORT": None, "PRIVATE_KEY_FILE": None, "PUBLIC_KEY": None},
            "MESHGATE_PREVIOUS_PUBLIC_KEY: there is no previous key without a present one",
        ),
    ],
)
def test_a_previous_key_that_cannot_be_is_refused(
    environment: pytest.MonkeyPatch, changed: dict[str, str | None], sentence: str
) -> None:
    for name, value in (PREVIOUS | changed).items():
        if value is None:
            environment.delenv(f"MESHGATE_{name}", raising=False)
        else:
            environment.setenv(f"MESHGATE_{name}", value)
    with pytest.raises(SettingsError, match=sentence):
        load(AgentSettings)


@pytest.mark.parametrize("endpoint", ["vpn.example.org:1", "192.0.2.1:51820", "[2001:db8::1]:65535"])
def test_good_endpoints(environment: pytest.MonkeyPatch, endpoint: str) -> None:
    environment.setenv("MESHGATE_ENDPOINT", endpoint)
    assert load(AgentSettings).endpoint == endpoint


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("ENDPOINT", "vpn.example.org", "not host:port"),
        ("ENDPOINT", "vpn.example.org:0", "not host:port"),
        ("ENDPOINT", "2001:db8::1:51820", "stands in brackets"),
        ("CLIENT_NETWORKS", "", "there must be one IPv4 network, one IPv6 network, or one of each"),
        ("CLIENT_NETWORKS", "10.1.0.0/24,10.2.0.0/24", "there must be one IPv4 network"),
        ("CLIENT_NETWORKS", "10.77.0.1/24", "has host bits set"),
        ("CLIENT_NETWORKS", "everyone", "write a network like"),
        ("CLIENT_NETWORKS", "10.77.0.0/31", "no room for a gateway and a client"),
        ("CLIENT_NETWORKS", "100.96.0.0/16", "overlaps 100.64.0.0/10"),
        ("CLIENT_NETWORKS", "10.77.0.0/24,fd7a:115c:a1e0:1::/64", "overlaps fd7a:115c:a1e0::/48"),
        ("PUBLIC_KEY", "PLACEHOLDER", "not a WireGuard key"),
        ("LISTEN_PORT", "0", "greater than or equal to 1"),
        ("LISTEN_PORT", "many", "valid integer"),
        ("MTU", "576", "greater than or equal to 1280"),
        ("DNS", "dns.example.org", "does not appear to be an IPv4 or IPv6 address"),
        ("NODE_PORTS", "80,https", "valid integer"),
        ("NODE_PORTS", "80,0", "greater than or equal to 1"),
        ("ALLOW_NETWORKS", "10.0.0.1/8", "has host bits set"),
        ("BLOCK_NETWORKS", "everything", "write a network like"),
        ("NODE_ADDRESSES", "node-1", "does not appear to be an IPv4 or IPv6 address"),
        ("STORE", "redis", "'sqlite' or 'etcd'"),
        ("ETCD_ENDPOINTS", "10.0.0.1:2379", "is no URL of an etcd member; write https://HOST:2379"),
        ("ETCD_ENDPOINTS", "https://10.0.0.1", "is no URL of an etcd member"),
        ("ETCD_ENDPOINTS", "https://10.0.0.1:2379/v3", "is no URL of an etcd member"),
        ("ETCD_ENDPOINTS", "https://10.0.0.1:99999", "Port out of range"),
        ("ETCD_ENDPOINTS", "http://10.0.0.1:2379", "to the network; write https://10.0.0.1:2379"),
        ("ETCD_PREFIX", "/", "should match pattern"),
        ("INTERFACE", "wg0; reboot", "should match pattern"),
        ("INTERFACE", "a-name-that-is-too-long", "should match pattern"),
    ],
)
def test_bad_values_get_one_sentence(environment: pytest.MonkeyPatch, name: str, value: str, sentence: str) -> None:
    environment.setenv(f"MESHGATE_{name}", value)
    with pytest.raises(SettingsError) as refusal:
        load(AgentSettings)
    (line,) = str(refusal.value).splitlines()
    assert line.startswith(f"MESHGATE_{name}: ")
    assert sentence in line


WIREGUARD = ("LISTEN_PORT", "PRIVATE_KEY_FILE", "PUBLIC_KEY")


@pytest.mark.parametrize("missing", WIREGUARD)
def test_wireguard_is_offered_with_port_and_keys_or_not_at_all(environment: pytest.MonkeyPatch, missing: str) -> None:
    environment.delenv(f"MESHGATE_{missing}")
    with pytest.raises(SettingsError) as refusal:
        load(AgentSettings)
    assert str(refusal.value) == (
        "WireGuard needs all of MESHGATE_LISTEN_PORT, MESHGATE_PRIVATE_KEY_FILE, MESHGATE_PUBLIC_KEY, "
        f"and has no MESHGATE_{missing}"
    )


def test_an_agent_that_offers_nothing_says_what_it_could(environment: pytest.MonkeyPatch) -> None:
    for name in WIREGUARD:
        environment.delenv(f"MESHGATE_{name}")
    with pytest.raises(SettingsError) as refusal:
        load(AgentSettings)
    assert str(refusal.value) == (
        "no protocol is offered: set MESHGATE_LISTEN_PORT with WireGuard's keys, MESHGATE_OPENVPN_LISTEN or "
        "MESHGATE_IPSEC_DIR"
    )


@pytest.mark.parametrize(
    ("given", "offered", "interfaces", "ports"),
    [
        (
            {"openvpn_listen": "udp:1194,tcp:1195", "openvpn_endpoints": "udp:vpn.example.org:1,tcp:vpn.example.org:2"},
            ("openvpn",),
            ("ovpn-udp", "ovpn-tcp"),
            (("udp", 1194), ("tcp", 1195)),
        ),
        ({"ipsec_dir": "/run/meshgate-ipsec"}, ("ipsec",), ("ipsec0",), (("udp", 500), ("udp", 4500))),
    ],
    ids=["openvpn", "ipsec"],
)
def test_without_wireguard_nothing_is_wireguards(
    tmp_path: Path,
    given: dict[str, str],
    offered: tuple[str, ...],
    interfaces: tuple[str, ...],
    ports: tuple[tuple[str, int], ...],
) -> None:
    settings = unwireguarded(tmp_path, **given)
    assert (settings.offered, settings.wireguard) == (offered, None)
    assert (settings.client_interfaces, settings.client_ports) == (interfaces, ports)


def test_the_agent_ends_with_2_and_a_line_per_setting(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("MESHGATE_ENDPOINT")
    environment.setenv("MESHGATE_MTU", "9")
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.agent"], capture_output=True, text=True, check=False, timeout=30
    )
    assert ended.returncode == 2
    assert [json.loads(line)["event"] for line in ended.stderr.splitlines()] == [
        "MESHGATE_ENDPOINT is not set",
        "MESHGATE_MTU: Input should be greater than or equal to 1280 (it is '9')",
    ]


def validate(lines: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.agent.validate"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MESHGATE_")}
    return subprocess.run(
        command, input=lines, env=environment, capture_output=True, text=True, check=False, timeout=30
    )


def test_an_environment_file_is_judged_before_it_is_used() -> None:
    good = "".join(f"MESHGATE_{name}={value}\n" for name, value in GOOD.items())
    assert validate(f"# a comment\n\n{good}").returncode == 0
    judged = validate(f"{good}MESHGATE_MTU=9\n")
    assert (judged.returncode, judged.stderr.splitlines()) == (
        2,
        ["MESHGATE_MTU: Input should be greater than or equal to 1280 (it is '9')"],
    )


def test_an_environment_file_has_lines_of_one_kind() -> None:
    judged = validate("MESHGATE_MTU 1300\n")
    assert (judged.returncode, judged.stderr) == (2, "standard input: line 1 is not NAME=VALUE\n")


@pytest.mark.parametrize("given", ["TLS_CERTIFICATE_FILE", "TLS_PRIVATE_KEY_FILE"])
def test_a_certificate_comes_with_its_key(environment: pytest.MonkeyPatch, given: str) -> None:
    environment.setenv(f"MESHGATE_{given}", "/etc/meshgate/tls.pem")
    with pytest.raises(SettingsError, match="a certificate and its private key are given together, or neither"):
        load(AgentSettings)


@pytest.mark.parametrize("given", ["ETCD_CERTIFICATE_FILE", "ETCD_KEY_FILE"])
def test_a_certificate_for_etcd_comes_with_its_key(environment: pytest.MonkeyPatch, given: str) -> None:
    environment.setenv(f"MESHGATE_{given}", "/etc/meshgate/etcd")
    with pytest.raises(SettingsError, match=r"^MESHGATE_ETCD_CERTIFICATE_FILE and MESHGATE_ETCD_KEY_FILE are given"):
        load(AgentSettings)


def test_etcd_has_endpoints(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MESHGATE_STORE", "etcd")
    with pytest.raises(SettingsError, match=r"^MESHGATE_STORE is etcd: set MESHGATE_ETCD_ENDPOINTS"):
        load(AgentSettings)
    environment.setenv("MESHGATE_ETCD_ENDPOINTS", "https://etcd-1.example.org:2379/, http://[::1]:2379")
    assert load(AgentSettings).etcd_endpoints == ("https://etcd-1.example.org:2379", "http://[::1]:2379")


def test_the_device_ends_with_2_too(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MESHGATE_WIREGUARD", "perhaps")
    ended = subprocess.run(
        [sys.executable, "-m", "gateway.agent.protocols.wireguard.interface_process"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 2
    sentence = json.loads(ended.stderr)["event"]
    assert sentence.startswith("MESHGATE_WIREGUARD: Input should be 'auto', 'kernel' or 'userspace'")


def test_secrets_that_are_not_there(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    with pytest.raises(SettingsError, match=f"MESHGATE_PRIVATE_KEY_FILE: {empty} is empty"):
        read_secret("MESHGATE_PRIVATE_KEY_FILE", empty)
    with pytest.raises(SettingsError, match="cannot be read: No such file or directory"):
        read_secret("MESHGATE_PRIVATE_KEY_FILE", tmp_path / "none")
