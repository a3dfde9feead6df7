"""The kernel and our judgement agree on what a host's firewall does to clients' packets, and the advice opens it.

Rules of nft, iptables and legacy iptables, in the shapes that ufw, firewalld and Docker give them, are loaded in a
network namespace. Real packets then come through, or do not.
"""

import json
import shlex
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from lab import paths
from playbooks.filter_plugins import gateway_firewall
from tests.contract.agent.namespaces import Namespace, command, in_namespace, sweep

PORT, WEB = 51820, 443
HOST, STRANGER = ("203.0.113.1", "2001:db8:77::1"), ("203.0.113.2", "2001:db8:77::2")
CLIENT = ("10.77.0.5", "fd77::5")
NETWORKS = ["10.77.0.0/16", "fd77::/64"]
SETTINGS: dict[str, Any] = {
    "interfaces": ["meshgate0"],
    "endpoint": f"vpn.example.com:{PORT}",
    "wireguard": {"wireguard": {"port": PORT}},
    "servers": {},
    "http_host": "127.0.0.1",
    "http_port": 8080,
    "environment": {"MESHGATE_ALLOWED_IPS": "0.0.0.0/0,::/0"},
}
LOOK = """
import json, sys
from tests.unit.playbooks.modules import run
from playbooks.library import gateway_host
print(json.dumps(run(gateway_host, json.loads(sys.argv[1]))))
"""
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
Rules = Callable[["Host"], None]


class Host:
    """A host with the Internet at eth0 and a client at meshgate0, each of them a namespace."""

    def __init__(self) -> None:
        self.inside, self.internet, self.client = (Namespace(name) for name in ("host", "internet", "client"))
        self._join(
            self.internet, "eth0", ("203.0.113.1/24", "2001:db8:77::1/64"), ("203.0.113.2/24", "2001:db8:77::2/64")
        )
        self._join(self.client, "meshgate0", ("10.77.0.1/16", "fd77::1/64"), ("10.77.0.5/16", "fd77::5/64"))
        for there, gateways in (
            (self.inside, STRANGER),
            (self.internet, HOST),
            (self.client, ("10.77.0.1", "fd77::1")),
        ):
            for gateway in gateways:
                there.run("ip", "route", "add", "default", "via", gateway)
        self.inside.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def _join(self, other: Namespace, name: str, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
        command(
            "ip", "-n", self.inside.name, "link", "add", name, "type", "veth", "peer", "uplink", "netns", other.name
        )
        for namespace, device, addresses in ((self.inside, name, ours), (other, "uplink", theirs)):
            namespace.run("sysctl", "-qw", f"net.ipv6.conf.{device}.accept_dad=0")
            for address in addresses:
                namespace.run("ip", "address", "add", address, "dev", device)
            namespace.run("ip", "link", "set", device, "up")

    def delete(self) -> None:
        for namespace in (self.inside, self.internet, self.client):
            namespace.delete()

    def nft(self, rules: str) -> None:
        self.inside.run("nft", "-f", "-", stdin=rules)

    def iptables(self, *rules: str, program: str = "iptables") -> None:
        for rule in rules:
            self.inside.run(program, "-w", *shlex.split(rule))

    def arrives(self, version: int) -> bool:
        """Whether a stranger's packet to the endpoint's port does."""
        place = HOST[version == 6]
        with in_namespace(self.inside.name):
            listener = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
        with in_namespace(self.internet.name):
            stranger = socket.socket(FAMILIES[version], socket.SOCK_DGRAM)
        with listener, stranger:
            listener.bind((place, PORT))
            listener.settimeout(0.5)
            stranger.sendto(b"let me in", (place, PORT))
            with suppress(TimeoutError):
                return listener.recv(100) == b"let me in"
        return False

    def passes(self, version: int) -> bool:
        """Whether a client gets through to a web server on the Internet, and the answer back."""
        place = STRANGER[version == 6]
        with in_namespace(self.internet.name):
            server = socket.socket(FAMILIES[version])
        with in_namespace(self.client.name):
            client = socket.socket(FAMILIES[version])
        with server, client:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((place, WEB))
            server.listen()
            client.settimeout(0.5)
            with suppress(OSError):
                client.connect((place, WEB))
                return True
        return False

    def look(self) -> dict[str, Any]:
        """What the module sees of it."""
        arguments = {
            "interfaces": SETTINGS["interfaces"],
            "arrivals": gateway_firewall.gateway_arrivals(SETTINGS),
            "client_networks": NETWORKS,
        }
        seen = self.inside.tried(
            *(sys.executable, "-c", LOOK, json.dumps(arguments)),
            env={"PYTHONPATH": str(paths.REPOSITORY), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
        assert seen.returncode == 0, seen.stderr
        found: dict[str, Any] = json.loads(seen.stdout)
        return found


@pytest.fixture
def host() -> Iterator[Host]:
    sweep()
    host = Host()
    try:
        yield host
    finally:
        host.delete()


def assert_agreed(host: Host, *, arrives: bool, passes: bool) -> dict[str, Any]:
    """What really happens is what is expected, and what the module says."""
    seen = host.look()
    for version in FAMILIES:
        judged = [one for one in seen["packets"] if one["version"] == version]
        arrival = {one["outcome"] for one in judged if "port" in one}
        passage = {one["outcome"] for one in judged if "to" in one}
        assert (host.arrives(version), arrival) == (arrives, {"passed" if arrives else "dropped"})
        assert (host.passes(version), "dropped" not in passage) == (passes, passes)
        assert "perhaps" not in arrival | passage
    return seen


def follow(host: Host, seen: dict[str, Any], *others: str) -> None:
    """Do what the sentences advise; their other commands than nft's and iptables' have to be these."""
    advice = [word for sentence in gateway_firewall.shut(seen, SETTINGS) for word in sentence.split("`")[1::2]]
    assert [word for word in advice if not word.startswith(("nft", "iptables", "ip6tables"))] == [*others]
    for word in advice:
        if word not in others:
            host.inside.run(*shlex.split(word))


UFW = (
    "-P INPUT DROP",
    "-P FORWARD DROP",
    *(f"-N ufw-{name}" for name in ("before-input", "user-input", "not-local", "before-forward", "user-forward")),
    "-A INPUT -j ufw-before-input",
    "-A FORWARD -j ufw-before-forward",
    "-A ufw-before-input -i lo -j ACCEPT",
    "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A ufw-before-input -m conntrack --ctstate INVALID -j DROP",
    "-A ufw-before-input -j ufw-not-local",
    "-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN",
    "-A ufw-not-local -m limit --limit 3/min -j LOG",
    "-A ufw-not-local -j DROP",
    "-A ufw-before-input -j ufw-user-input",
    "-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A ufw-before-forward -j ufw-user-forward",
    "-A ufw-user-input -p tcp -m multiport --dports 22,80 -j ACCEPT",
)
NEIGHBOURS = "-I INPUT -p ipv6-icmp -j ACCEPT"
"""Without neighbour discovery no packet would even be sent."""


def both(host: Host, *rules: str, suffix: str = "") -> None:
    """Rules for both IP versions."""
    host.iptables(*rules, program=f"iptables{suffix}")
    host.iptables(*rules, program=f"ip6tables{suffix}")
    host.iptables(NEIGHBOURS, program=f"ip6tables{suffix}")


def test_without_rules_everything_comes_through(host: Host) -> None:
    seen = assert_agreed(host, arrives=True, passes=True)
    assert gateway_firewall.shut(seen, SETTINGS) == gateway_firewall.gateway_doubts(seen, SETTINGS) == []


@pytest.mark.parametrize("suffix", ["", "-legacy"])
def test_ufw(host: Host, suffix: str) -> None:
    rules = [rule for rule in UFW if "addrtype" not in rule and "not-local -j DROP" not in rule]
    host.iptables(*UFW, program=f"iptables{suffix}")
    host.iptables(*rules, NEIGHBOURS, program=f"ip6tables{suffix}")
    seen = assert_agreed(host, arrives=False, passes=False)
    follow(host, seen, "ufw allow 51820/udp", "ufw route allow in on meshgate0")
    for program in (f"iptables{suffix}", f"ip6tables{suffix}"):
        host.iptables(
            "-A ufw-user-input -p udp --dport 51820 -j ACCEPT",
            "-A ufw-user-forward -i meshgate0 -j ACCEPT",
            program=program,
        )
    assert_agreed(host, arrives=True, passes=True)


@pytest.mark.parametrize("suffix", ["", "-legacy"])
def test_iptables(host: Host, suffix: str) -> None:
    both(
        host,
        "-P FORWARD DROP",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A INPUT -j REJECT",
        suffix=suffix,
    )
    seen = assert_agreed(host, arrives=False, passes=False)
    follow(host, seen)
    assert_agreed(host, arrives=True, passes=True)


FIREWALLD = """
table inet firewalld {
    chain filter_INPUT {
        type filter hook input priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state { invalid } drop
        jump filter_INPUT_ZONES
        reject with icmpx type admin-prohibited
    }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state { invalid } drop
        ip6 daddr { ::/96, 2002::/24 } reject with icmpv6 type addr-unreachable
        jump filter_FORWARD_ZONES
        reject with icmpx type admin-prohibited
    }
    chain filter_INPUT_ZONES { iifname "eth0" goto filter_IN_public; goto filter_IN_public; }
    chain filter_FORWARD_ZONES { iifname "eth0" goto filter_FWD_public; goto filter_FWD_public; }
    chain filter_IN_public {
        jump filter_IN_public_allow
        meta l4proto { icmp, ipv6-icmp } accept
        reject with icmpx type admin-prohibited
    }
    chain filter_IN_public_allow { tcp dport 22 ct state { new, untracked } accept; }
    chain filter_FWD_public { reject with icmpx type admin-prohibited; }
    chain filter_FWD_trusted { accept; }
    chain raw_PREROUTING {
        type filter hook prerouting priority raw + 10; policy accept;
        icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
        meta nfproto ipv6 fib saddr . iif oif missing drop
    }
}
"""


def test_firewalld(host: Host) -> None:
    host.nft(FIREWALLD)
    seen = assert_agreed(host, arrives=False, passes=False)
    follow(
        host,
        seen,
        "firewall-cmd --permanent --zone=public --add-port=51820/udp",
        "firewall-cmd --reload",
        "firewall-cmd --permanent --zone=trusted --add-interface=meshgate0",
        "firewall-cmd --reload",
    )
    host.nft("""
        add rule inet firewalld filter_IN_public_allow udp dport 51820 ct state { new, untracked } accept
        insert rule inet firewalld filter_FORWARD_ZONES iifname "meshgate0" goto filter_FWD_trusted
    """)
    assert_agreed(host, arrives=True, passes=True)


NFT = """
table inet filter {
    set web { type inet_proto . inet_service; elements = { tcp . 80, tcp . 443 } }
    set banned { type ipv4_addr; flags interval, timeout; elements = { 198.51.100.0/24 timeout 1h } }
    chain input {
        type filter hook input priority filter; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        ip saddr @banned drop
        ip6 nexthdr ipv6-icmp accept
        meta l4proto . th dport @web accept
        udp dport 51820 limit rate over 100/second drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        iifname "docker0" accept
        tcp flags & (fin | syn | rst | ack) == fin drop
    }
}
"""


def test_nft(host: Host) -> None:
    host.nft(NFT)
    seen = assert_agreed(host, arrives=False, passes=False)
    follow(host, seen)
    assert_agreed(host, arrives=True, passes=True)


def test_docker_drops_what_is_forwarded_alone(host: Host) -> None:
    both(host, "-P FORWARD DROP", "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT")
    seen = assert_agreed(host, arrives=True, passes=False)
    follow(host, seen)
    assert_agreed(host, arrives=True, passes=True)


def test_a_drop_before_the_input_chain(host: Host) -> None:
    both(host, "-t raw -A PREROUTING -p udp --dport 51000:52000 -j DROP")
    seen = assert_agreed(host, arrives=False, passes=True)
    follow(host, seen)
    assert_agreed(host, arrives=True, passes=True)


def test_what_cannot_be_told_is_a_doubt_and_no_refusal(host: Host) -> None:
    host.iptables("-A INPUT -s 198.51.100.0/24 -j ACCEPT", "-A INPUT -p udp --dport 51820 -j DROP")
    seen = host.look()
    assert gateway_firewall.shut(seen, SETTINGS) == []
    (doubt,) = gateway_firewall.gateway_doubts(seen, SETTINGS)
    assert doubt.startswith("iptables (table ip filter, chain INPUT) perhaps drops what comes for UDP port 51820: ")
