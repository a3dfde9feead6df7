"""A real etcd of three members on loopback, Debian's, whose members can be killed and started again."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.contract.programs import free_port
from tests.deadlines import wait_for

STARTUP_SECONDS = 30
PROGRAM = "etcd"


class EtcdCluster:
    """Three members. `urls` are theirs for clients, `tls` arguments that all of them get."""

    def __init__(self, directory: Path, scheme: str = "http", tls: tuple[str, ...] = ()) -> None:
        program = shutil.which(PROGRAM)
        assert program, "etcd is missing; install the package etcd-server"
        self._program = program
        self._directory = directory
        self._tls = tls
        self._peers = [f"http://127.0.0.1:{free_port()}" for _ in range(3)]
        self.urls = [f"{scheme}://127.0.0.1:{free_port()}" for _ in range(3)]
        self._members: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *members: int) -> None:
        """Start these, with what they know if they have run before."""
        for number in members:
            with (self._directory / f"etcd-{number}.log").open("ab") as log:
                self._members[number] = subprocess.Popen(self._command(number), stdout=log, stderr=log)

    def kill(self, *members: int) -> None:
        """SIGKILL."""
        for number in members:
            member = self._members.pop(number)
            member.send_signal(signal.SIGKILL)
            member.wait()

    def freeze(self, number: int) -> None:
        """The member's machine hangs: its sockets stay open, and nothing answers."""
        self._members[number].send_signal(signal.SIGSTOP)

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
        said = httpx.post(f"{self.urls[number]}/v3/maintenance/status", json={}, timeout=5).json()
        return bool(said.get("leader") == said["header"]["member_id"])

    def _is_written(self, number: int) -> bool:
        try:
            body = {"key": "eA==", "value": ""}
            return httpx.post(f"{self.urls[number]}/v3/kv/put", json=body, timeout=2, verify=False).is_success  # noqa: S501
        except httpx.HTTPError:
            return False

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
    assert os.access(directory, os.W_OK)
    cluster = EtcdCluster(directory)
    try:
        cluster.start(0, 1, 2)
        cluster.wait_until_well()
        yield cluster
    finally:
        cluster.stop()
