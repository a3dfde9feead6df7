"""A world whose gateway also lets devices in by OpenVPN, and stock clients with nothing but their profile."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lab.tools import debian_packages
from tests.contract.agent.certified import give_issuer, register, revoke, seen_at
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.world import World
from tests.deadlines import wait_for

UDP, TCP = 1194, 1443
_counter = itertools.count()


class Gateway:
    """A world whose gateway lets devices in by WireGuard and by OpenVPN, the latter by two transports."""

    def __init__(self, world: World) -> None:
        debian_packages.ensure_for_tests("openvpn")
        self.world = world
        self.directory = world.directory
        give_issuer(world)
        meeting = self.directory / "openvpn"
        meeting.mkdir(mode=0o700)
        world.environment |= {
            "MESHGATE_OPENVPN_LISTEN": f"udp:{UDP},tcp:{TCP}",
            "MESHGATE_OPENVPN_DIR": str(meeting),
        }
        self.offer("udp", "tcp")
        self.process: subprocess.Popen[bytes] | None = None

    def offer(self, *transports: str) -> None:
        """Where clients find the gateway; the other transport leads nowhere."""
        ports = {"udp": UDP, "tcp": TCP}
        told = (f"{name}:{self.world.HOST}:{port if name in transports else 9}" for name, port in ports.items())
        self.world.environment["MESHGATE_OPENVPN_ENDPOINTS"] = ",".join(told)

    def start(self) -> None:
        self.start_process()
        self.world.start()

    def start_process(self) -> None:
        module = "gateway.agent.protocols.openvpn.server_process"
        self.process = self.world.gateway.start(sys.executable, "-m", module, env=self.world.agent_environment())

    def stop_process(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def delete(self) -> None:
        self.stop_process()
        self.world.delete()

    def children(self) -> list[int]:
        assert self.process is not None
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def register(self, **more: object) -> dict[str, Any]:
        return register(self.world, "openvpn", **more)

    def seen_at(self, device: dict[str, Any]) -> str:
        return seen_at(self.world, device)

    def revoke(self, device: dict[str, Any]) -> None:
        revoke(self.world, device)

    def connected(
        self, device: dict[str, Any], namespace: Namespace | None = None
    ) -> AbstractContextManager["OpenVpnClient"]:
        return connected(self.world, device["profile"], namespace)


class OpenVpnClient:
    """A stock client in a namespace; its log is all that it says."""

    def __init__(self, directory: Path, namespace: Namespace, profile: str) -> None:
        self.namespace = namespace
        name = f"client{next(_counter)}"
        self.log = directory / f"{name}.log"
        self.file = directory / f"{name}.ovpn"
        self.file.touch(mode=0o600)
        self.file.write_text(profile)
        self.process = namespace.start("openvpn", "--config", str(self.file), "--log", str(self.log))

    def says(self, text: str) -> int:
        return self.log.read_text().count(text) if self.log.exists() else 0

    def comes_up(self, within: float = 20) -> None:
        wait_for(lambda: self.says("Initialization Sequence Completed"), "the client", within, log=self.log)

    def reaches(self, address: str) -> bool:
        return self.namespace.tried("ping", "-n", "-c1", "-W1", address).returncode == 0

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def connected(world: World, profile: str, namespace: Namespace | None = None) -> Iterator[OpenVpnClient]:
    """A client during a block, in the world's namespace of clients or in another."""
    client = OpenVpnClient(world.directory, namespace or world.client, profile)
    try:
        yield client
    finally:
        client.stop()
