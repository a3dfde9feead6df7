"""The firewall's table, put in place and read back by nft itself."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.agent.firewall import Firewall, list_table
from gateway.agent.firewall_rules import rules
from gateway.agent.settings import AgentSettings
from tests.contract.agent.namespaces import Namespace, in_namespace
from tests.unit.agent.fakes import SERVER_KEY

BOTH = "10.77.0.0/24,fd77::/64"


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A network namespace for nft alone, entered."""
    namespace = Namespace("nft")
    with in_namespace(namespace.name):
        yield namespace
    namespace.delete()


def made(directory: Path, **changes: str) -> AgentSettings:
    return AgentSettings.model_validate(
        {
            "listen_port": 51820,
            "endpoint": "vpn.example.org:51820",
            "client_networks": BOTH,
            "private_key_file": directory,
            "public_key": SERVER_KEY,
            "token_file": directory,
            "state_dir": directory,
            **changes,
        }
    )


@pytest.mark.parametrize("networks", ["10.77.0.0/24", "fd77::/64", BOTH])
@pytest.mark.parametrize("dns", ["", "100.100.100.100", "10.96.0.10,fd00::a"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"allowed_ips": "10.0.0.0/8", "node_ports": ""},
        {
            "closed_networks": "10.244.0.0/16,10.0.0.0/8",
            "node_addresses": "198.51.100.1,2001:db8::1",
            "node_networks": "198.51.100.0/24",
            "allow_networks": "0.0.0.0/0,::/0,10.1.0.0/16",
            "block_networks": "10.0.0.0/8,10.1.0.0/16,::/127",
            "node_ports": "443,80,80",
            "endpoint": "[2001:db8::1]:51820",
        },
    ],
)
async def test_nft_takes_every_shape_of_the_firewall(
    namespace: Namespace, tmp_path: Path, networks: str, dns: str, more: dict[str, str]
) -> None:
    table = rules(made(tmp_path, client_networks=networks, dns=dns, **more))
    namespace.run("nft", "-f", "-", stdin=table)
    once = await list_table()
    assert once
    namespace.run("nft", "-f", "-", stdin=table)
    assert await list_table() == once


@pytest.mark.parametrize(
    "change",
    [
        "flush ruleset",
        "flush chain inet meshgate to_clients",
        "add rule inet meshgate input accept",
        "add element inet meshgate dns4 { 192.0.2.53 }",
        "delete element inet meshgate closed4 { 10.0.0.0/8 }",
        "delete chain inet meshgate postrouting",
        "add chain inet meshgate another",
    ],
)
async def test_whatever_is_changed_by_hand_is_seen_and_put_back(
    namespace: Namespace, tmp_path: Path, change: str
) -> None:
    firewall = Firewall(made(tmp_path))
    await firewall.apply()
    assert await firewall.problems() == []
    namespace.run("nft", change)
    assert await firewall.problems() == ["the firewall table is not as it was put in place"]
    await firewall.restore()
    assert await firewall.stands()


async def test_the_same_table_put_anew_is_the_same(namespace: Namespace, tmp_path: Path) -> None:
    """Whoever puts it, and whatever numbers the kernel gives its rules."""
    settings = made(tmp_path)
    firewall = Firewall(settings)
    await firewall.apply()
    namespace.run("nft", "-f", "-", stdin=rules(settings))
    assert await firewall.stands()


async def test_a_client_that_comes_by_another_way_is_counted(namespace: Namespace, tmp_path: Path) -> None:
    settings = made(tmp_path)
    namespace.run("ip", "link", "set", "lo", "up")
    firewall = Firewall(settings)
    await firewall.apply()
    counts = [await newcomers(firewall)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", settings.listen_port))
        for _ in range(2):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(listener.getsockname())
                for _ in range(3):
                    client.send(b"here I am")
                    listener.sendto(b"welcome", listener.recvfrom(100)[1])
            counts.append(await newcomers(firewall))
    assert counts == [0, 1, 2]


async def newcomers(firewall: Firewall) -> int:
    assert await firewall.stands(), "counts are no change"
    return firewall.newcomers
