"""A small world of network namespaces around a real agent: client — gateway — far (the mesh and the Internet).

Every name in it (namespaces, interfaces) is this world's own, so that worlds can stand side by side: wireguard-go
keeps its sockets in one directory for all namespaces.
"""

import contextlib
import itertools
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from gateway.agent.protocols.wireguard.sockets import listens
from tests.contract.agent.namespaces import Namespace, in_namespace
from tests.deadlines import wait_for
from tests.pings import Pings, pinging
from tests.unit.agent.fakes import key_pair

ROOT = Path(__file__).parents[3]
FAR_4, FAR_6 = "198.51.100.2", "2001:db8:100::2"
MESH_4, MESH_6 = "100.64.0.2", "fd7a:115c:a1e0::2"
LAN_GATEWAY, LAN_CLIENT, LAN_NEIGHBOUR = "10.213.7.1", "10.213.7.2", "10.213.7.3"
PRIVATE_4 = "10.99.0.2"
LISTEN_PORT = 51820
HTTP_PORT, PROBE_PORT = 8080, 8081
TOKEN = "a-token-for-tests"
MESH_MTU = 1280
BASE_URL = f"http://127.0.0.1:{HTTP_PORT}"
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once: loading the usual certificates takes long

_counter = itertools.count()


class Client:
    """A native WireGuard client in the client namespace, configured from what the peer API answered."""

    MTU = 1420

    def __init__(self, namespace: Namespace, interface: str, wireguard_go: str) -> None:
        self.namespace = namespace
        self.interface = interface
        self.keys = key_pair()
        self._process = namespace.start(wireguard_go, interface, env={**os.environ, "WG_PROCESS_FOREGROUND": "1"})
        wait_for(lambda: listens(interface), "the client's interface")

    def configure(self, answer: dict[str, Any], preshared_key: str = "") -> None:
        run = self.namespace.run
        run("wg", "set", self.interface, "private-key", "/dev/stdin", stdin=self.keys.private)
        run(
            *("wg", "set", self.interface, "peer", answer["server_public_key"]),
            *("preshared-key", "/dev/stdin" if preshared_key else "/dev/null"),
            *("endpoint", answer["server_endpoint"], "allowed-ips", ",".join(answer["allowed_ips"])),
            *("persistent-keepalive", str(answer["persistent_keepalive"])),
            stdin=preshared_key,
        )
        for address in answer["addresses"]:
            run("ip", "address", "replace", address, "dev", self.interface)
        run("ip", "link", "set", self.interface, "mtu", str(self.MTU), "up")
        run("ip", "route", "replace", "default", "dev", self.interface)
        run("ip", "-6", "route", "replace", "default", "dev", self.interface)

    def reaches(self, address: str, within_s: int = 3) -> bool:
        return self.namespace.tried("ping", "-n", "-c1", f"-W{within_s}", address).returncode == 0

    def switch(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Take up another answer of the peer API, as an app does with a running tunnel."""
        self.namespace.run(
            *("wg", "set", self.interface, "peer", before["server_public_key"], "remove"),
            *("peer", after["server_public_key"], "endpoint", after["server_endpoint"]),
            *("allowed-ips", ",".join(after["allowed_ips"])),
            *("persistent-keepalive", str(after["persistent_keepalive"])),
        )

    def forget_server(self, answer: dict[str, Any]) -> None:
        """Drop the session with the gateway."""
        self.namespace.run("wg", "set", self.interface, "peer", answer["server_public_key"], "remove")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def pinging(self, address: str, interval_s: float) -> contextlib.AbstractContextManager[Pings]:
        """Ping during a block."""
        return pinging(self.namespace.inside, address, interval_s)


class World:
    """The namespaces, the process that holds the interface, and the agent."""

    HOST = LAN_GATEWAY
    """Where clients dial the gateway."""
    API_HOST = "127.0.0.1"
    """Where the API and the probes are asked."""

    def __init__(self, directory: Path, wireguard_go: str) -> None:
        self.directory = directory
        self.wireguard_go = wireguard_go
        self.keys = key_pair()
        tag = f"mg{os.getpid()}x{next(_counter)}"
        self.interface = f"{tag}w"
        self.next_interface = f"{tag}v"
        """That of a rotated key."""
        self._tag = tag
        self._clients = itertools.count()
        self.wireguard = {
            "MESHGATE_LISTEN_PORT": str(LISTEN_PORT),
            "MESHGATE_PRIVATE_KEY_FILE": str(directory / "private-key"),
            "MESHGATE_PUBLIC_KEY": self.keys.public,
        }
        """What the agent has of WireGuard; nothing where it does not offer that."""
        self.environment: dict[str, str] = {}
        self.agents_environment: dict[str, str] = {}
        """What the agent alone has besides, and not who makes the interface."""
        self.agent: subprocess.Popen[bytes] | None = None
        self.holder: subprocess.Popen[bytes] | None = None
        self.previous_holder: subprocess.Popen[bytes] | None = None
        """What holds the previous key's interface in a rotation."""
        self.gateway = Namespace("gw")
        self.client = Namespace("cl")
        self.neighbour = Namespace("nb")
        self.far = Namespace("far")
        self.asking = self.gateway
        """The namespace from which the API and the probes are asked."""
        self._connect()
        (directory / "private-key").write_text(self.keys.private + "\n")
        self.tokens = directory / "tokens"
        self.tokens.write_text(f"admin {TOKEN}\n")
        self.settings = directory / "settings"
        self.settings.mkdir()
        (self.settings / "MESHGATE_ENDPOINT").write_text(f"{self.HOST}:{LISTEN_PORT}")

    def _connect(self) -> None:
        gateway, client, neighbour, far = self.gateway, self.client, self.neighbour, self.far
        gateway.run("ip", "link", "add", "lan", "type", "bridge")
        for other, here, there in (
            (client, "lan1", "lan"),
            (neighbour, "lan2", "lan"),
            (far, "mesh", "mesh"),
            (far, "inet", "inet"),
        ):
            gateway.run("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", other.name)
        for port in ("lan1", "lan2"):
            gateway.run("ip", "link", "set", port, "master", "lan", "up")
        for namespace, link, *addresses in self._links():
            for address in addresses:
                namespace.run("ip", "address", "add", address, "dev", link, *(["nodad"] if ":" in address else []))
            namespace.run("ip", "link", "set", link, "up")
        for namespace in (gateway, far):
            namespace.run("ip", "link", "set", "mesh", "mtu", str(MESH_MTU))
        gateway.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def _links(self) -> list[tuple[Namespace, str, *tuple[str, ...]]]:
        """Each namespace's interfaces and their addresses."""
        return [
            (self.gateway, "lan", f"{LAN_GATEWAY}/24"),
            (self.client, "lan", f"{LAN_CLIENT}/24"),
            (self.neighbour, "lan", f"{LAN_NEIGHBOUR}/24"),
            (self.gateway, "mesh", "100.64.0.1/10", "fd7a:115c:a1e0::1/48"),
            (self.far, "mesh", f"{MESH_4}/10", f"{MESH_6}/48"),
            (self.gateway, "inet", "198.51.100.1/24", "2001:db8:100::1/64", "10.99.0.1/24"),
            (self.far, "inet", f"{FAR_4}/24", f"{FAR_6}/64", f"{PRIVATE_4}/24"),
        ]

    def agent_environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{Path(self.wireguard_go).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "MESHGATE_INTERFACE": self.interface,
            "MESHGATE_CLIENT_NETWORKS": "10.77.0.0/24,fd77::/64",
            "MESHGATE_TOKEN_FILE": str(self.tokens),
            "MESHGATE_SETTINGS_DIR": str(self.settings),
            "MESHGATE_STATE_DIR": str(self.directory / "state"),
            "MESHGATE_MESH_INTERFACE": "mesh",
            **self.wireguard,
            **self.environment,
        }

    @contextlib.contextmanager
    def more_settings(self, **values: str) -> Iterator[None]:
        """More settings in the agent's directory during a block."""
        files = {self.settings / f"MESHGATE_{name}": value for name, value in values.items()}
        for file, value in files.items():
            file.write_text(value)
        try:
            yield
        finally:
            for file in files:
                file.unlink()

    def start_interface(self) -> None:
        self.holder = self.gateway.start(
            sys.executable, "-m", "gateway.agent.protocols.wireguard.interface_process", env=self.agent_environment()
        )

    def start_agent(self, log: BinaryIO | None = None) -> None:
        """Start the agent; its log goes to a file if there is one."""
        environment = self.agent_environment() | self.agents_environment
        self.agent = self.gateway.start(sys.executable, "-m", "gateway.agent", env=environment, stderr=log)

    def start(self) -> None:
        self.start_interface()
        self.start_agent()
        self.wait_until_ready()

    def wait_until_ready(self, within: float = 15) -> None:
        wait_for(lambda: self.readiness()[0] == 200, f"readiness of the gateway ({self.readiness()})", within)

    def readiness(self) -> tuple[int, dict[str, Any]]:
        try:
            answer = self.probe("/readyz")
        except httpx.HTTPError as error:
            return 0, {"error": str(error)}
        return answer.status_code, answer.json()

    def stop_agent(self, how: signal.Signals = signal.SIGTERM) -> float:
        """End the agent; seconds it took."""
        assert self.agent is not None
        start = time.monotonic()
        self.agent.send_signal(how)
        self.agent.wait(10)
        return time.monotonic() - start

    def kill_wireguard(self) -> None:
        """SIGKILL to wireguard-go itself."""
        assert self.holder is not None
        (child,) = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)

    @contextlib.contextmanager
    def http(self, token: str | None = TOKEN) -> Iterator[httpx.Client]:
        """A client for the agent's API, in the namespace that asks."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(
            base_url=self._url(HTTP_PORT), headers=headers, timeout=10, trust_env=False, verify=NO_TLS
        ) as client:
            with in_namespace(self.asking.name):
                client.get("/openapi.json")  # connects while in the namespace; the connection stays there
            yield client

    def probe(self, path: str) -> httpx.Response:
        """Ask the agent how it is, as a kubelet does."""
        return self._ask("GET", f"{self._url(PROBE_PORT)}{path}")

    def call(self, method: str, path: str, token: str | None = TOKEN, json: object = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._ask(method, f"{self._url(HTTP_PORT)}{path}", headers=headers, json=json)

    def _url(self, port: int) -> str:
        return f"http://{self.API_HOST}:{port}"

    def _ask(self, method: str, url: str, **content: Any) -> httpx.Response:  # noqa: ANN401
        with (
            in_namespace(self.asking.name),
            httpx.Client(timeout=10, trust_env=False, verify=NO_TLS) as client,
        ):
            return client.request(method, url, **content)

    def register(self, public_key: str, **more: object) -> dict[str, Any]:
        answer = self.call("POST", "/v1/peers", json={"public_key": public_key, **more})
        assert answer.status_code in {200, 201}, answer.text
        return dict(answer.json())

    def addresses(self, client: Client) -> list[str]:
        """A registered client's addresses in the tunnel."""
        answer = self.call("GET", f"/v1/peers/{client.keys.public}").json()
        return [address.split("/")[0] for address in answer["addresses"]]

    @contextlib.contextmanager
    def new_client(self, namespace: Namespace | None = None) -> Iterator[Client]:
        """A client that is not registered yet."""
        name = f"{self._tag}c{next(self._clients)}"
        client = Client(namespace or self.client, name, self.wireguard_go)
        try:
            yield client
        finally:
            client.stop()

    def rules(self, chain: str) -> list[dict[str, Any]]:
        """The rules in a chain of the gateway's firewall; none when there is no such chain."""
        listed = json.loads(self.gateway.run("nft", "--json", "list", "ruleset"))["nftables"]
        rules = [item["rule"] for item in listed if "rule" in item]
        return [rule for rule in rules if (rule["table"], rule["chain"]) == ("meshgate", chain)]

    def delete(self) -> None:
        for holder in (self.holder, self.previous_holder):
            if holder is not None and holder.poll() is None:
                holder.terminate()  # it takes wireguard-go along
                holder.wait(10)
        for namespace in (self.client, self.neighbour, self.far, self.gateway):
            namespace.delete()
