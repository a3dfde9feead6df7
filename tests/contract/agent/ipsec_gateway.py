"""A world whose gateway also lets devices in by IPsec, and stock clients with nothing but their profile."""

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lab.network import strongswan
from tests.contract.agent.certified import give_issuer, register, revoke
from tests.contract.agent.conftest import made_world
from tests.contract.agent.namespaces import Namespace
from tests.contract.agent.world import World
from tests.deadlines import wait_for

_counter = itertools.count()


class Gateway:
    """A world whose gateway lets devices in by WireGuard and by IPsec."""

    def __init__(self, world: World) -> None:
        strongswan.bring()
        self.world = world
        give_issuer(world)
        meeting = world.directory / "ipsec"
        meeting.mkdir(mode=0o700)
        world.environment |= {"MESHGATE_IPSEC_DIR": str(meeting)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.start_process()
        self.world.start()

    def start_process(self) -> None:
        module = "gateway.agent.protocols.ipsec.server_process"
        self.process = self.world.gateway.start(sys.executable, "-m", module, env=self.world.agent_environment())

    def stop_process(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def charon(self) -> int:
        """The process id of charon."""
        assert self.process is not None
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()[0])

    def register(self, **more: object) -> dict[str, Any]:
        return register(self.world, "ipsec", **more)

    def revoke(self, device: dict[str, Any]) -> None:
        revoke(self.world, device)

    def connected(
        self, device: dict[str, Any], namespace: Namespace | None = None
    ) -> AbstractContextManager["IpSecClient"]:
        return connected(self.world, device["profile"], namespace)


class IpSecClient:
    """A stock strongSwan in a namespace."""

    def __init__(self, directory: Path, namespace: Namespace, profile: str) -> None:
        self.namespace = namespace
        own = directory / f"ipsec-client{next(_counter)}"
        self.environment = os.environ | strongswan.prepare(own)
        self.log = own / "charon.log"
        with self.log.open("wb") as log:
            self.process = namespace.start("charon-systemd", env=self.environment, stderr=log)
        wait_for(lambda: strongswan.listens(own), "the client's charon", log=self.log)
        script = own / "profile.sh"
        script.touch(mode=0o600)
        script.write_text(profile)
        done = namespace.tried("sh", str(script), env=self.environment)
        assert done.returncode == 0, done.stdout + done.stderr

    def says(self, text: str) -> int:
        return self.log.read_text().count(text)

    def comes_up(self, within: float = 20) -> None:
        wait_for(lambda: self.says(strongswan.UP), "the client", within, log=self.log)

    def is_refused(self) -> bool:
        return any(map(self.says, strongswan.REFUSED))

    def reaches(self, address: str) -> bool:
        return self.namespace.tried("ping", "-n", "-c1", "-W1", address).returncode == 0

    def stop(self) -> None:
        """End it; one that cannot end, as it does now and then, is killed."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)


@contextmanager
def connected(world: World, profile: str, namespace: Namespace | None = None) -> Iterator[IpSecClient]:
    """A client during a block, in the world's namespace of clients or in another."""
    client = IpSecClient(world.directory, namespace or world.client, profile)
    try:
        yield client
    finally:
        client.stop()


@contextmanager
def made_gateway(directory: Path, wireguard_go: str) -> Iterator[Gateway]:
    """A gateway in a world of its own, which the block starts."""
    with made_world(directory, wireguard_go) as world:
        gateway = Gateway(world)
        try:
            yield gateway
        finally:
            gateway.stop_process()
