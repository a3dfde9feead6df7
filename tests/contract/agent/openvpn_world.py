"""A real OpenVPN server, stock clients, each in a network namespace of its own, and who is on the list."""

import itertools
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.agent.certificates import Credentials, Issuer, certified, common_name, device_id, new_key, pem
from infra import certificate_authority
from lab.tools import debian_packages
from tests.contract.agent.namespaces import Namespace
from tests.deadlines import wait_for

SERVER = "10.213.8.1"
GATEWAY_4, GATEWAY_6 = "10.90.0.1", "fd00:90::1"
SERVER_CONFIGURATION = f"""
mode server
tls-server
proto udp4
local {SERVER}
port 1194
dev-type tun
disable-dco
topology subnet
ifconfig {GATEWAY_4} 255.255.255.0
ifconfig-ipv6 {GATEWAY_6}/64 fd00:90::2
push "topology subnet"
push "route-gateway {GATEWAY_4}"
keepalive 2 6
persist-key
persist-tun
explicit-exit-notify 1
dh none
tls-version-min 1.3
remote-cert-tls client
data-ciphers AES-256-GCM:CHACHA20-POLY1305
management-client-auth
auth-user-pass-optional
script-security 1
"""
CLIENT_CONFIGURATION = f"""
client
dev-type tun
nobind
persist-tun
persist-key
remote {SERVER} 1194 udp4
explicit-exit-notify 1
remote-cert-tls server
verify-x509-name gateway name
tls-version-min 1.3
"""
_counter = itertools.count()


@dataclass(frozen=True)
class Certificate:
    """A device's certificate with its key, in files."""

    key: ec.EllipticCurvePrivateKey
    directory: Path

    @property
    def name(self) -> str:
        """The certificate's common name."""
        return common_name(device_id(certified(self.key)))

    def lines(self, directory: Path) -> str:
        """What a configuration says of it and of its CA."""
        return f"ca {directory / 'ca.crt'}\ncert {self.directory / 'cert.pem'}\nkey {self.directory / 'key.pem'}\n"


class Authority:
    """A CA with the issuers of two gateways."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ca = certificate_authority.make("a CA for tests")
        (directory / "ca.crt").write_text(ca.certificate)
        below = [certificate_authority.issuing(ca, name) for name in ("the gateway's", "another gateway's")]
        self.issuer, self.other = (Issuer(one.certificate + ca.certificate, one.key) for one in below)

    def issue(self) -> Certificate:
        """A certificate of a new key."""
        return self.certify(new_key(), self.issuer)

    def certify(self, key: ec.EllipticCurvePrivateKey, issuer: Issuer) -> Certificate:
        chain = issuer.for_device(certified(key), int(time.time()), None)
        return Certificate(key, self._write(Credentials(chain, pem(key))))

    def server(self) -> Path:
        """Where the server's certificate and key are."""
        return self._write(self.issuer.for_server("gateway"))

    def _write(self, credentials: Credentials) -> Path:
        directory = self.directory / f"certificate-{next(_counter)}"
        directory.mkdir()
        (directory / "cert.pem").write_text(credentials.chain)
        secret = directory / "key.pem"
        secret.touch(mode=0o600)
        secret.write_text(credentials.key)
        return directory


class AllowList:
    """Devices by their certificates' names; each has a number, which is its place in the networks."""

    def __init__(self) -> None:
        self.devices: dict[str, int] = {}

    def add(self, certificate: Certificate, number: int) -> None:
        self.devices[certificate.name] = number

    def has(self, name: str) -> bool:
        return name in self.devices

    async def welcome(self, name: str) -> Sequence[str]:
        number = self.devices[name]
        return (
            f"ifconfig-push 10.90.0.{number} 255.255.255.0",
            f"ifconfig-ipv6-push fd00:90::{number:x}/64 {GATEWAY_6}",
        )


class Client:
    """A stock client, made from its certificate alone."""

    def __init__(self, namespace: Namespace, certificate: Certificate, authority: Path, *options: str) -> None:
        self.namespace = namespace
        self.device = f"ov{next(_counter)}"
        self.log = certificate.directory / f"{self.device}.log"
        configuration = certificate.directory / f"{self.device}.conf"
        configuration.write_text(
            "\n".join((CLIENT_CONFIGURATION, certificate.lines(authority), f"dev {self.device}", *options))
        )
        self.process = namespace.start("openvpn", "--config", str(configuration), "--log", str(self.log))

    def says(self, text: str) -> bool:
        return self.log.exists() and text in self.log.read_text()

    def is_up(self) -> bool:
        return self.says("Initialization Sequence Completed")

    def reaches(self, address: str) -> bool:
        return self.namespace.tried("ping", "-n", "-c1", "-W1", "-I", self.device, address).returncode == 0

    def addresses(self) -> set[str]:
        listed = self.namespace.run("ip", "-brief", "address", "show", "dev", self.device)
        return set(re.findall(r"(10\.90\.0\.\d+|fd00:90::[\da-f]+)/", listed))


class OpenVpnWorld:
    """The server's process, the socket that it is told by, and the clients around it."""

    def __init__(self, directory: Path) -> None:
        debian_packages.ensure_for_tests("openvpn")
        self.directory = directory
        self.server = Namespace("gw")
        # Else it takes the lowest address of its ports, and a client that comes changes it under all others.
        self.server.run("ip", "link", "add", "lan", "address", "02:00:00:00:08:01", "type", "bridge")
        self._join(self.server, "lan", f"{SERVER}/24")
        self._clients: list[Namespace] = []
        self.authority = Authority(directory)
        self.certificate = self.authority.server()
        self.socket = directory / "management.sock"
        self.log = directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str) -> None:
        configuration = self.directory / "server.conf"
        own = ("dev ovserver", f"management {self.socket} unix", f"tmp-dir {self.directory}")
        configuration.write_text("\n".join((SERVER_CONFIGURATION, self._credentials(), *own, *options)))
        log = self.log
        log.unlink(missing_ok=True)
        self.process = self.server.start("openvpn", "--config", str(configuration), "--log", str(log))
        wait_for(lambda: log.exists() and "Initialization Sequence Completed" in log.read_text(), "OpenVPN", log=log)

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def _credentials(self) -> str:
        own = self.certificate
        return f"ca {self.directory / 'ca.crt'}\ncert {own / 'cert.pem'}\nkey {own / 'key.pem'}\n"

    def connect(self, certificate: Certificate, *options: str) -> Client:
        number = len(self._clients) + 2
        namespace = Namespace(f"c{number}")
        self._clients.append(namespace)
        port = f"lan{number}"
        self.server.run("ip", "link", "add", port, "type", "veth", "peer", "name", "lan", "netns", namespace.name)
        self.server.run("ip", "link", "set", port, "master", "lan", "up")
        self._join(namespace, "lan", f"10.213.8.{number}/24")
        return Client(namespace, certificate, self.directory, *options)

    def _join(self, namespace: Namespace, link: str, address: str) -> None:
        namespace.run("ip", "address", "add", address, "dev", link)
        namespace.run("ip", "link", "set", link, "up")

    def delete(self) -> None:
        for namespace in (*self._clients, self.server):
            namespace.delete()
