"""A real etcd of three members on loopback, Debian's, whose members can be killed and started again."""

import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import httpx

from tests.contract.agent.namespaces import Namespace, in_namespace
from tests.contract.programs import free_port
from tests.deadlines import wait_for

STARTUP_SECONDS = 30
PROGRAM = "etcd"


class EtcdCluster:
    """Three members. `urls` are theirs for clients."""

    def __init__(
        self,
        directory: Path,
        host: str = "http://127.0.0.1",
        tls: tuple[str, ...] = (),
        trust: ssl.SSLContext | bool = False,
        namespace: Namespace | None = None,
    ) -> None:
        """`host` is the URL that clients ask, without a port; `tls` are arguments for that, `trust` is a client's."""
        program = shutil.which(PROGRAM)
        assert program, "etcd is missing; install the package etcd-server"
        self._program = program
        self._directory = directory
        self._tls = tls
        self._peers = [f"http://127.0.0.1:{free_port()}" for _ in range(3)]
        self.urls = [f"{host}:{free_port()}" for _ in range(3)]
        self._trust = trust
        self._namespace = namespace
        self._inside = namespace.inside if namespace else ()
        self._members: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *members: int) -> None:
        """Start these, with what they know if they have run before."""
        for number in members:
            with (self._directory / f"etcd-{number}.log").open("ab") as log:
                self._members[number] = subprocess.Popen(
                    [*self._inside, *self._command(number)], stdout=log, stderr=log
                )

    def kill(self, *members: int) -> None:
        """SIGKILL."""
        for number in members:
            member = self._members.pop(number)
            member.send_signal(signal.SIGKILL)
            member.wait()

    def freeze(self, number: int) -> None:
        """The member's machine hangs: its sockets stay open, and nothing answers."""
        self._members[number].send_signal(signal.SIGSTOP)

    def thaw(self, number: int) -> None:
        """It goes on."""
        self._members[number].send_signal(signal.SIGCONT)

    def leader(self) -> int:
        """Which member leads."""
        found = [number for number in self._members if self._leads(number)]
        assert len(found) == 1, found
        return found[0]

    def wait_until_well(self) -> None:
        """Until a write succeeds."""
        log = self._directory / "etcd-0.log"
        wait_for(lambda: any(map(self._is_written, self._members)), "etcd's quorum", STARTUP_SECONDS, log)

    def stop(self) -> None:
        """All members end."""
        self.kill(*tuple(self._members))

    def _leads(self, number: int) -> bool:
        said = self._ask(number, "/v3/maintenance/status").json()
        return bool(said.get("leader") == said["header"]["member_id"])

    def _is_written(self, number: int) -> bool:
        try:
            return self._ask(number, "/v3/kv/put", key="eA==").is_success
        except httpx.HTTPError:
            return False

    def _ask(self, number: int, path: str, **body: str) -> httpx.Response:
        with in_namespace(self._namespace.name) if self._namespace else nullcontext():
            return httpx.post(f"{self.urls[number]}{path}", json=body, timeout=2, verify=self._trust, trust_env=False)

    def _command(self, number: int) -> tuple[str, ...]:
        return (
            self._program,
            f"--name=m{number}",
            f"--data-dir={self._directory / f'etcd-{number}'}",
            f"--listen-client-urls={self.urls[number]}",
            f"--advertise-client-urls={self.urls[number]}",
            f"--listen-peer-urls={self._peers[number]}",
            f"--initial-advertise-peer-urls={self._peers[number]}",
            f"--initial-cluster={','.join(f'm{one}={url}' for one, url in enumerate(self._peers))}",
            "--unsafe-no-fsync",
            *self._tls,
        )


@contextmanager
def etcd_cluster(directory: Path) -> Iterator[EtcdCluster]:
    """Three members that agree."""
    with started(EtcdCluster(directory)) as cluster:
        yield cluster


@contextmanager
def started(cluster: EtcdCluster) -> Iterator[EtcdCluster]:
    """All members run during the block, unless it kills them."""
    try:
        cluster.start(0, 1, 2)
        cluster.wait_until_well()
        yield cluster
    finally:
        cluster.stop()
