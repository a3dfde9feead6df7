"""What throughput is compared with: wireguard-go on the node itself, one peer, a masquerade, and nothing more."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.run import capture
from infra import curve25519
from lab.network import topology
from lab.network.sandbox import Sandbox
from lab.network.wireguard_client import Config
from lab.processes.daemon import Daemon
from lab.tools import go_builds, pinned_tools
from tests.deadlines import wait_for
from tests.prove import throughput

INTERFACE, PORT, MTU = "wgbare", 31999, 1280
SERVER, CLIENT, NETWORK = "10.78.0.1/24", "10.78.0.2/32", "10.78.0.0/24"
DAEMON = Daemon("bare-gateway")
RULES = (
    f"table ip bare {{ chain post {{ type nat hook postrouting priority srcnat; ip saddr {NETWORK} masquerade; }}; }}"
)


@contextmanager
def bare_gateway(directory: Path) -> Iterator[Config]:
    """Give the config of its one client."""
    server_key, client_key = curve25519.generate_private_key(), curve25519.generate_private_key()
    key_file = directory / "private-key"
    key_file.write_text(server_key)
    sandbox = Sandbox(network=topology.NODE, hostname="bare", empty=("/run",))
    process = DAEMON.start(sandbox.command([str(go_builds.resolve(pinned_tools.WIREGUARD_GO)), "-f", INTERFACE]))

    def run(*command: str, stdin: str = "") -> str:
        enter = ["nsenter", f"--target={process.pid}", "--net", "--mount", "--", *command]
        return subprocess.run(enter, input=stdin, text=True, capture_output=True, check=True).stdout

    try:
        links = ["ip", "-netns", topology.NODE, "-brief", "link"]
        wait_for(lambda: INTERFACE in capture(links, doing="list links"), "the interface", within=5, log=DAEMON.log)
        peer = ("peer", curve25519.public_key(client_key), "allowed-ips", CLIENT)
        throughput.weigh_as_the_pod(INTERFACE)
        run("wg", "set", INTERFACE, "listen-port", str(PORT), "private-key", str(key_file), *peer)
        run("ip", "address", "add", SERVER, "dev", INTERFACE)
        run("ip", "link", "set", INTERFACE, "mtu", str(MTU), "up")
        run("nft", "-f", "-", stdin=RULES)
        yield Config(
            private_key=client_key,
            addresses=(CLIENT,),
            server_public_key=curve25519.public_key(server_key),
            endpoint=f"{topology.NODE_IPV4}:{PORT}",
            allowed_ips=("0.0.0.0/0",),
            mtu=MTU,
        )
    finally:
        run("nft", "-f", "-", stdin="add table ip bare; delete table ip bare")
        DAEMON.stop()
