"""The ways in, one per protocol: how its devices register, how it goes and comes, and whom the real programs let in."""

import os
import signal
import socket
import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from vici import Session

from gateway.agent.certificates import certified, device_id, device_named, new_key, pem
from gateway.agent.protocols import ipsec
from gateway.agent.protocols.ipsec.device_connections import name_of, names
from gateway.agent.protocols.openvpn import TOLD
from gateway.agent.store import ProtocolName
from tests.contract.agent import ipsec_gateway, openvpn_gateway
from tests.contract.agent.acknowledged import Entries, compare
from tests.contract.agent.world import World
from tests.unit.agent.fakes import key_pair

Addresses = tuple[str, ...]


class Way(ABC):
    """A protocol with its devices."""

    protocol: ProtocolName
    troubles: tuple[str, ...]
    """Words by which readiness says that nobody comes in, each in a sentence of its own."""
    opening: tuple[str, ...] = ()
    """Words by which it says that this is over in a moment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.keys: list[str] = []
        """The devices' ids: who registers such a one again means the same device."""
        self.away = False

    @abstractmethod
    def body(self, key: str) -> dict[str, Any]:
        """What a device says of itself."""

    @abstractmethod
    def comes(self) -> None: ...

    @abstractmethod
    def goes(self) -> None: ...

    @abstractmethod
    def dies(self) -> None:
        """What lets devices in is killed, and is started again by whoever watches over it."""

    def inside(self) -> dict[str, Addresses] | None:
        """Who is let in; None where only a client that comes can tell. Nobody, while it is not there."""
        return None

    def differences(self, must: Entries, may: Entries) -> list[str]:
        """How whom it lets in differs from who must and who may be in, in words."""
        inside = self.inside()
        return [] if inside is None else compare(f"let in by {self.protocol}", must, may, inside)

    def is_steady(self) -> bool:
        """Whether it is there with what the agent tells it now, or away."""
        return True

    def is_told(self, missing: list[str]) -> bool:
        """Whether readiness, by what it says is missing, knows it to be there or away."""
        said = [any(words in sentence for sentence in missing) for words in self.troubles]
        return all(said) if self.away else not any([*said, *(one in " ".join(missing) for one in self.opening)])


class WireGuard(Way):
    """Peers of the interface."""

    protocol = "wireguard"

    def __init__(self, world: World, devices: int) -> None:
        super().__init__(world)
        self.keys = [key_pair().public for _ in range(devices)]
        self.troubles = (f"the interface {world.interface}",)

    def body(self, key: str) -> dict[str, Any]:
        return {"public_key": key}

    def comes(self) -> None:
        self.world.start_interface()

    def goes(self) -> None:
        assert self.world.holder is not None
        self.world.holder.terminate()
        self.world.holder.wait()

    def dies(self) -> None:
        self.world.kill_wireguard()

    def inside(self) -> dict[str, Addresses]:
        return {key: addresses for key, (_, addresses) in self._peers().items()}

    def differences(self, must: Entries, may: Entries) -> list[str]:
        peers = self._peers()
        return [
            *compare("let in by wireguard", must, may, {key: addresses for key, (_, addresses) in peers.items()}),
            *(
                f"{key[:4]} has the preshared key {secret}"
                for key, (secret, _) in peers.items()
                if key in must and secret != must[key].preshared_key
            ),
        ]

    def _peers(self) -> dict[str, tuple[str | None, Addresses]]:
        """Preshared keys and allowed IPs."""
        listed = self.world.gateway.tried("wg", "show", self.world.interface, "dump").stdout.splitlines()[1:]
        peers = (line.split("\t") for line in listed)
        return {
            key: (None if secret == "(none)" else secret, tuple(sorted(allowed.split(","), key=lambda one: ":" in one)))
            for key, secret, _, allowed, *_ in peers
        }


class Certified(Way):
    """Devices with certificates, each of a key that it keeps."""

    def __init__(self, world: World, gateway: openvpn_gateway.Gateway | ipsec_gateway.Gateway, devices: int) -> None:
        super().__init__(world)
        self.gateway = gateway
        own = [new_key() for _ in range(devices)]
        self.private = {device_id(certified(key)): pem(key) for key in own}
        unsigned = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
        requests = [unsigned.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode() for key in own]
        self._requests = dict(zip(self.private, requests, strict=True))
        self.keys = list(self.private)

    def body(self, key: str) -> dict[str, Any]:
        return {"protocol": self.protocol, "certificate_request": self._requests[key]}

    def comes(self) -> None:
        self.gateway.start_process()

    def goes(self) -> None:
        self.gateway.stop_process()


class OpenVpn(Certified):
    """Whoever the agent says yes to when OpenVPN asks: `visitors` has the clients that come."""

    protocol = "openvpn"
    troubles = ("OpenVPN for udp", "OpenVPN for tcp")

    def __init__(self, world: World, devices: int) -> None:
        self.openvpn = openvpn_gateway.Gateway(world)
        super().__init__(world, self.openvpn, devices)

    def dies(self) -> None:
        for process in self.openvpn.children():
            os.kill(process, signal.SIGKILL)

    def is_steady(self) -> bool:
        """Whether OpenVPN has a certificate that is good now: it starts again with each that the agent gives it."""
        if self.away:
            return True
        told = self.world.directory / "openvpn" / TOLD
        certificate = x509.load_pem_x509_certificate(told.read_text().partition("<cert>\n")[2].encode())
        is_good = certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc
        age = time.time() - told.stat().st_mtime
        processes = self.openvpn.children()
        return is_good and len(processes) == len(self.troubles) and all(_age(process) < age for process in processes)


class IpSec(Certified):
    """Those that charon has connections and addresses for."""

    protocol = "ipsec"
    troubles = ("charon does",)
    opening = ("IPsec opens",)

    def __init__(self, world: World, devices: int) -> None:
        self.ipsec = ipsec_gateway.Gateway(world)
        super().__init__(world, self.ipsec, devices)

    def dies(self) -> None:
        os.kill(self.ipsec.charon(), signal.SIGKILL)

    def inside(self) -> dict[str, Addresses]:
        """Of a device that has half of what it should have, the addresses are none."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(5)
            try:
                asking.connect(str(ipsec.socket(self.world.directory / "ipsec")))
                charon = Session(asking)
                connections = {name.decode() for name in charon.request("get-conns")["conns"]}
                pools = {name: pool["base"].decode() for name, pool in charon.request("get-pools").items()}
            except OSError:
                return {}
        devices = {device_named(name_of(one)) for one in (*connections, *(pool[:43] for pool in pools))}
        return {device: _addresses(device, connections, pools) for device in devices}


def _age(process: int) -> float:
    """Seconds since a process was started (proc_pid_stat(5))."""
    started = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


def _addresses(device: str, connections: set[str], pools: dict[str, str]) -> Addresses:
    """Each address has two pools."""
    name, _ = both = names(device)
    if not connections.issuperset(both):
        return ()
    found = [[pools.get(f"{name}-{version}{again}", "") for again in ("", "-again")] for version in (4, 6)]
    (four, four_again), (six, six_again) = found
    return (f"{four}/32", f"{six}/128") if (four, six) == (four_again, six_again) else ()
