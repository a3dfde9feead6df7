from pathlib import Path

import httpx
import pytest

from console.errors import StepError
from lab import paths
from lab.cluster import startup
from lab.cluster.startup import Check
from lab.processes import supervision

CHECK = Check("kubelet", "http://10.213.0.1:10248/healthz", deadline=0.05)


@pytest.fixture(autouse=True)
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "LOGS", tmp_path)
    log = tmp_path / "kubelet.log"
    log.write_text("first\nwhy it failed\n")
    return log


def client(*statuses: int | None) -> httpx.Client:
    """A part that answers with these statuses one after another; None refuses the connection."""
    answers = iter(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        status = next(answers, statuses[-1])
        if status is None:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(status)

    return httpx.Client(transport=httpx.MockTransport(answer))


def test_a_part_is_waited_for_until_it_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "state", lambda _: "STARTING")
    startup.wait_for(Check("kubelet", CHECK.url, deadline=5), client(None, 503, 200))


def test_after_its_deadline_the_error_shows_the_parts_own_log(monkeypatch: pytest.MonkeyPatch, log: Path) -> None:
    monkeypatch.setattr(supervision, "state", lambda _: "RUNNING")
    with pytest.raises(StepError, match="kubelet does not work 0 s after its start") as failure:
        startup.wait_for(CHECK, client(503))
    assert "why it failed" in str(failure.value)
    assert str(log) in str(failure.value)


def test_a_part_that_keeps_dying_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "state", lambda _: "FATAL")
    with pytest.raises(StepError, match="ends again and again"):
        startup.wait_for(Check("kubelet", CHECK.url, deadline=60), client(None))


def test_every_part_of_kubernetes_has_its_own_check() -> None:
    names = [check.part for check in (startup.STORE, startup.API, *startup.REST)]
    assert names == [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubelet",
        "kube-proxy",
        "coredns",
    ]
