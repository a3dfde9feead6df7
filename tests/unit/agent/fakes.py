"""Key pairs, a protocol without an interface, and a data plane that keeps peers and fails when told to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from gateway.agent.certificates import Issuer
from gateway.agent.command import CommandError
from gateway.agent.protocol import AwayError, Traffic
from gateway.agent.protocols.wireguard.wg import SeenInterface, SeenPeer, WantedPeer, parse_dump
from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device
from infra import certificate_authority, curve25519

SERVER_KEY = "c2VydmVyIHB1YmxpYyBrZXkgZm9yIHRlc3RzISEhISE="


def agent_settings(directory: Path = Path("nowhere"), **more: object) -> AgentSettings:
    """Settings of an agent that keeps its files in a directory."""
    values: dict[str, Any] = {
        "listen_port": 51820,
        "endpoint": "vpn.example.org:51820",
        "client_networks": "10.77.0.0/29,fd77::/64",
        "dns": "100.100.100.100",
        "private_key_file": directory / "private-key",
        "public_key": SERVER_KEY,
        "token_file": directory / "token",
        "state_dir": directory,
        **more,
    }
    return AgentSettings(**values)


def unwireguarded(directory: Path = Path("nowhere"), **more: object) -> AgentSettings:
    """The same of an agent that offers other protocols, and not WireGuard."""
    return agent_settings(
        directory,
        listen_port=None,
        private_key_file=None,
        public_key=None,
        issuing_certificate_file=directory / "chain",
        issuing_key_file=directory / "key",
        **more,
    )


@dataclass(frozen=True)
class KeyPair:
    private: str = field(repr=False)
    public: str


def key_pair() -> KeyPair:
    private = curve25519.generate_private_key()
    return KeyPair(private, curve25519.public_key(private))


class FakeAccess:
    """A protocol that lets everybody in, and tells what it is told to tell."""

    part = "openvpn"

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.heard = {180: 0, 900: 0, 3600: 0, 86400: 0}
        self.passed: Traffic | None = None

    async def let_in(self, device: Device) -> None:
        pass

    async def shut_out(self, devices: Sequence[Device]) -> None:
        pass

    def reconsider(self, devices: Sequence[Device]) -> None:
        pass

    async def problems(self) -> list[str]:
        return self.missing

    def heard_within(self, seconds: int) -> int:
        return self.heard[seconds]

    def traffic(self) -> Traffic | None:
        return self.passed


class FakeDataPlane:
    """Behaves as `wg` does on a real interface: tests/contract/agent/test_data_plane.py holds it to that."""

    def __init__(self) -> None:
        self.peers: dict[str, SeenPeer] = {}
        self.broken = False
        """The interface is there, and `wg` fails."""
        self.away = False
        self.changes = 0

    def go_away(self) -> None:
        """The interface is gone, and its peers with it."""
        self.away = True
        self.peers.clear()

    async def show(self) -> SeenInterface:
        self._be_there()
        return parse_dump(
            "\n".join((f"(none)\t{SERVER_KEY}\t51820\toff", *(_line(key, peer) for key, peer in self.peers.items()))),
            asked_at=time.monotonic(),
        )

    async def set_peer(self, peer: WantedPeer) -> None:
        self._change()
        old = self.peers.get(peer.public_key)
        self._put(peer, keepalive=old.keepalive if old else 0)

    async def add_peers(self, peers: Sequence[WantedPeer]) -> None:
        self._change()
        for peer in peers:
            self._put(peer, peer.keepalive)

    async def remove_peers(self, public_keys: Sequence[str]) -> None:
        self._change()
        for key in public_keys:
            self.peers.pop(key, None)

    def handshake(self, public_key: str, endpoint: str, when: int) -> None:
        """The peer is heard from."""
        self.peers[public_key] = replace(self.peers[public_key], endpoint=endpoint, last_handshake=when)

    def _change(self) -> None:
        self._be_there()
        if self.broken:
            raise CommandError("wg failed: Unable to modify interface")
        self.changes += 1

    def _be_there(self) -> None:
        if self.away:
            raise AwayError("the interface wg0 does not exist")

    def _put(self, peer: WantedPeer, keepalive: int) -> None:
        old = self.peers.get(peer.public_key)
        self.peers[peer.public_key] = SeenPeer(
            preshared_key=peer.preshared_key,
            endpoint=peer.endpoint or (old.endpoint if old else None),
            allowed_ips=frozenset(peer.allowed_ips),
            last_handshake=old.last_handshake if old else 0,
            keepalive=keepalive,
        )


def _line(public_key: str, peer: SeenPeer) -> str:
    fields = (
        public_key,
        peer.preshared_key or "(none)",
        peer.endpoint or "(none)",
        ",".join(sorted(peer.allowed_ips)) or "(none)",
        str(peer.last_handshake),
        *("0", "0", str(peer.keepalive or "off")),
    )
    return "\t".join(fields)


def issuing() -> tuple[str, str]:
    """The issuing certificate of a gateway, below a CA of its own, with that CA's; and its key."""
    ca = certificate_authority.make("a CA for tests")
    own = certificate_authority.issuing(ca, "a gateway's")
    return own.certificate + ca.certificate, own.key


def made_issuer() -> Issuer:
    """The issuer of a gateway, below a CA of its own."""
    return Issuer(*issuing())


def ended(monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The same, and both certificates have ended two days ago."""
    with monkeypatch.context() as then:
        then.setattr(certificate_authority, "VALID_FOR", -timedelta(days=2))
        then.setattr(certificate_authority, "LEEWAY", timedelta(days=3))
        then.setattr(certificate_authority, "check", lambda text: x509.load_pem_x509_certificate(text.encode()))
        return issuing()
