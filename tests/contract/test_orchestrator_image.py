"""The reference orchestrator, started as its image starts it."""

import json
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.contract.programs import free_port, running
from tests.deadlines import wait_for

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
def test_it_answers_by_ipv4_and_by_ipv6(address: str, tmp_path: Path) -> None:
    """In a cluster of either its probes pass."""
    port, log = free_port(), tmp_path / "log"
    with running(entry_point(port), log, PYTHONPATH=f"{ROOT / 'examples'}:{ROOT}"):
        wait_for(partial(answers, f"http://{address}:{port}/healthz"), "the orchestrator", 20, log)


def entry_point(port: int) -> list[str]:
    """The image's, with this machine's interpreter, at another port."""
    (line,) = (
        line.removeprefix("ENTRYPOINT ")
        for line in (ROOT / "examples/orchestrator/Dockerfile").read_text().splitlines()
        if line.startswith("ENTRYPOINT ")
    )
    program, *arguments = json.loads(line)
    assert program.endswith("/uvicorn")
    assert arguments[-2:] == ["--port", "8080"]
    return [sys.executable, "-m", "uvicorn", *arguments[:-1], str(port)]


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
