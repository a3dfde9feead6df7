"""Stacks of 1, 20 and 100 gateways: real engine, API server, Headscale and tailscaled; only the pods do not run."""

import threading
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.headscale import EXIT_ROUTES
from lab.pulumi import pulumi_host
from lab.tools import pinned_tools
from tests.contract.apiserver import ApiServer
from tests.contract.pulumi_engine import Engine
from tests.contract.real_headscale import RealHeadscale, running_headscale
from tests.contract.test_program_errors import api, core, kubelet
from tests.prove.alternating import medians, seconds
from tests.prove.empty_program import empty_program
from tests.prove.figures import show

__all__ = ["api"]

pytestmark = pytest.mark.timeout(3600)

COUNTS = (1, 20, 100)
ROUNDS = 3
JOINING_AT_ONCE = 8
NAMESPACE = "headscale"
Seconds = dict[int, float]


def test_time_is_linear_in_the_number_of_gateways(
    api: ApiServer, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.contract.pulumi_engine.TIMEOUT", 1800)
    figures: dict[str, Seconds] = {what: {} for what in ("first preview", "up", "no-op preview", "refresh")}
    for count in COUNTS:
        with running_headscale(tmp_path_factory.mktemp("headscale"), pinned_tools.HEADSCALE) as headscale:
            engine = Engine(tmp_path_factory.mktemp("engine"), pulumi_host.find(), api.kubeconfig)
            engine.configure(_settings(headscale, count), api_key=_api_key(headscale))
            figures["first preview"][count] = _fastest(engine, "preview")
            with kubelet(api, NAMESPACE, ready=True), _tailscaled(api, headscale, count):
                figures["up"][count] = _seconds(engine, "up", "--yes", "--skip-preview")
            figures["no-op preview"][count] = _fastest(engine, "preview", "--expect-no-changes")
            if count == 1:
                show(_against_an_empty_program(engine, tmp_path_factory.mktemp("empty")))
            figures["refresh"][count] = _fastest(engine, "refresh", "--yes", "--skip-preview")
            _seconds(engine, "destroy", "--yes", "--skip-preview")
    for what, by_count in figures.items():
        show(_figure(what, by_count))


def _settings(headscale: RealHeadscale, count: int) -> dict[str, object]:
    gateways = [
        {
            "name": f"region-{number}",
            "endpoint": f"127.0.0.1:{31000 + number}",
            "client_networks": [f"10.77.{number}.0/24"],
            "storage_class": "later",
            "registration_deadline": 900,
        }
        for number in range(count)
    ]
    return {
        "namespace": NAMESPACE,
        "headscale": {"managed": False, "url": headscale.url},
        "gateways": gateways,
        "orchestrator": {"deployment": "june-orchestrator"},
    }


def _api_key(headscale: RealHeadscale) -> str:
    return headscale.new_api_key(datetime.now(UTC) + timedelta(days=60))


def _against_an_empty_program(engine: Engine, directory: Path) -> str:
    with empty_program(directory, pulumi_host.find(), engine.environment) as empty:
        ours, nothing = medians(lambda: _run(engine, "preview", "--expect-no-changes"), empty, 2 * ROUNDS + 1)
    return (
        f"no-op preview with an existing Headscale: {ours:.2f} s, empty program with the same plugins: {nothing:.2f} "
        f"s, ratio {ours / nothing:.2f}"
    )


def _fastest(engine: Engine, operation: str, *options: str) -> float:
    """Of several runs: what else the machine does only makes them slower."""
    return min(_seconds(engine, operation, *options) for _ in range(ROUNDS))


def _seconds(engine: Engine, operation: str, *options: str) -> float:
    return seconds(lambda: _run(engine, operation, *options))


def _run(engine: Engine, operation: str, *options: str) -> None:
    done = engine.run(operation, *options)
    assert done.code == 0, done.text


@contextmanager
def _tailscaled(api: ApiServer, headscale: RealHeadscale, count: int) -> Iterator[None]:
    """In place of the pods: a tailscaled joins by the key of each gateway's Secret, as soon as that is there."""
    done = threading.Event()
    joined: dict[str, Future[None]] = {}

    def work() -> None:
        while len(joined) < count and not done.wait(0.5):
            for secret in core(api).list_namespaced_secret(NAMESPACE).items:
                name = secret.metadata.name
                if name not in joined and "pre-auth-key" in (secret.data or {}):
                    key = b64decode(secret.data["pre-auth-key"]).decode()
                    joined[name] = pods.submit(headscale.join, key, name, EXIT_ROUTES)

    with ThreadPoolExecutor(JOINING_AT_ONCE + 1) as pods:
        looking = pods.submit(work)
        try:
            yield
        finally:
            done.set()
    for one in (looking, *joined.values()):
        one.result()


def _figure(what: str, by_count: Seconds) -> str:
    """Each time; and that of many against the straight line through the others: 1 is linear, more is worse."""
    one, few, many = COUNTS
    each = (by_count[few] - by_count[one]) / (few - one)
    line = by_count[few] + each * (many - few)
    times = ", ".join(f"{count}: {by_count[count]:.1f} s" for count in COUNTS)
    return f"{what} by number of gateways {times}; {many} against a straight line: {by_count[many] / line:.2f}"
