"""The lab as a cluster of IPv6 alone: devices of every way pass as in the other, and the operator sees that they do."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lab import paths
from lab.network.addresses import VARIABLE

pytestmark = pytest.mark.timeout(1800)

PYTHON = (sys.executable, "-m")


def run(*command: str, kind: str = "ipv6") -> None:
    """Run a module in a process of its own, which knows that kind of cluster."""
    environment = {**os.environ, VARIABLE: kind}
    done = subprocess.run(
        [*PYTHON, *command], cwd=paths.REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def lab_of_ipv6() -> Iterator[None]:
    """The lab is as it was at the end: one of both."""
    try:
        run("lab", "up", "--fresh")
        yield
    finally:
        run("lab", "up", "--fresh", kind="dual")


@pytest.mark.usefixtures("lab_of_ipv6")
def test_devices_of_every_way_pass_in_a_cluster_of_ipv6_alone() -> None:
    for proof in ("test_packets", "test_verify", "test_every_way"):
        run("pytest", "-q", f"tests/e2e/{proof}.py")
