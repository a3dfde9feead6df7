"""Stacks of 1, 5 and 20 gateways: real engine, API server, Headscale and tailscaled; only the pods do not run."""

import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from gateway.headscale import EXIT_ROUTES
from lab.pulumi import pulumi_host
from lab.tools import pinned_tools
from tests.contract.apiserver import ApiServer
from tests.contract.pulumi_engine import Engine
from tests.contract.real_headscale import RealHeadscale, running_headscale
from tests.contract.test_program_errors import api, core, kubelet
from tests.prove.figures import show

__all__ = ["api"]

pytestmark = pytest.mark.timeout(900)

COUNTS = (1, 5, 20)
NAMESPACE = "headscale"
Seconds = dict[int, float]


def test_time_is_linear_in_the_number_of_gateways(
    api: ApiServer, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.contract.pulumi_engine.TIMEOUT", 600)
    previews, ups, no_ops = {}, {}, {}
    for count in COUNTS:
        with running_headscale(tmp_path_factory.mktemp("headscale"), pinned_tools.HEADSCALE) as headscale:
            engine = Engine(tmp_path_factory.mktemp("engine"), pulumi_host.find(), api.kubeconfig)
            engine.configure(_settings(headscale, count), api_key=_api_key(headscale))
            previews[count] = _fastest(engine, "preview")
            with kubelet(api, NAMESPACE, ready=True), _tailscaled(api, headscale, count):
                ups[count] = _seconds(engine, "up", "--yes", "--skip-preview")
            no_ops[count] = _fastest(engine, "preview", "--expect-no-changes")
            _seconds(engine, "destroy", "--yes", "--skip-preview")
    for what, seconds in {"first preview": previews, "up": ups, "no-op preview": no_ops}.items():
        show(_figure(what, seconds))


def _settings(headscale: RealHeadscale, count: int) -> dict[str, object]:
    gateways = [
        {
            "name": f"region-{number}",
            "endpoint": f"127.0.0.1:{31000 + number}",
            "client_networks": [f"10.{10 + number}.0.0/16"],
            "storage_class": "later",
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


def _fastest(engine: Engine, operation: str, *options: str) -> float:
    """Of three runs: what else the machine does only makes them slower."""
    return min(_seconds(engine, operation, *options) for _ in range(3))


def _seconds(engine: Engine, operation: str, *options: str) -> float:
    start = time.monotonic()
    done = engine.run(operation, *options)
    assert done.code == 0, done.text
    return time.monotonic() - start


@contextmanager
def _tailscaled(api: ApiServer, headscale: RealHeadscale, count: int) -> Iterator[None]:
    """In place of the pods: a tailscaled joins by the key of each gateway's Secret, as soon as that is there."""
    stop = threading.Event()

    def join(name: str) -> None:
        while not stop.wait(0.2):
            found = {secret.metadata.name: secret for secret in core(api).list_namespaced_secret(NAMESPACE).items}
            if name in found:
                key = b64decode(found[name].data["pre-auth-key"]).decode()
                headscale.join(key, name, EXIT_ROUTES)
                return

    with ThreadPoolExecutor(count) as pods:
        joined = [pods.submit(join, f"meshgate-region-{number}") for number in range(count)]
        try:
            yield
        finally:
            stop.set()
    for one in joined:
        one.result()


def _figure(what: str, seconds: Seconds) -> str:
    """Each time; and that of many against the straight line through the others: 1 is linear, more is worse."""
    one, few, many = COUNTS
    each = (seconds[few] - seconds[one]) / (few - one)
    line = seconds[few] + each * (many - few)
    times = ", ".join(f"{count}: {seconds[count]:.1f} s" for count in COUNTS)
    return f"{what} by number of gateways {times}; {many} against a straight line: {seconds[many] / line:.2f}"
