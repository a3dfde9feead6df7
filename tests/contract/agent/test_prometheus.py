"""Alerts and board against a real Prometheus that scrapes a real agent: rules parse and fire, no panel is empty."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from lab.tools import debian_packages
from tests.contract.agent.namespaces import in_namespace
from tests.contract.agent.world import FAR_4, NO_TLS, PROBE_PORT, Client, World
from tests.deadlines import wait_for
from tests.unit.agent.fakes import key_pair
from tests.unit.docs.commands import ROOT, bash, console

MONITORING = ROOT / "infra" / "monitoring"
RULES = MONITORING / "alerts.yaml"
PROVOCATIONS = Path(__file__).with_name("alerts.yaml")
PORT = 9090
PANELS = [
    (f"{panel['title']} {target['refId']}", target["expr"])
    for panel in json.loads((MONITORING / "board.json").read_text())["panels"]
    for target in panel["targets"]
]

pytestmark = pytest.mark.timeout(600)  # the first run on a machine installs Prometheus


class Prometheus:
    """A Prometheus in the gateway's namespace, which scrapes the agent every second."""

    def __init__(self, world: World, directory: Path) -> None:
        settings = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": "meshgate",
                    "static_configs": [{"targets": [f"127.0.0.1:{PROBE_PORT}"], "labels": {"gateway": "east"}}],
                }
            ],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(settings))
        self.process = world.gateway.start(
            "prometheus",
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{PORT}",
            "--log.level=warn",
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{PORT}/api/v1", trust_env=False, verify=NO_TLS)
        self._namespace = world.gateway.name

    def get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 - JSON
        """What it answers; None while it does not."""
        with in_namespace(self._namespace), contextlib.suppress(httpx.TransportError):
            answer = self._http.get(path, params=parameters)
            return answer.json()["data"] if answer.status_code == 200 else None
        return None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        data = self.get("/query", query=expression)
        return list(data["result"]) if data else []

    def alerts(self) -> dict[str, str]:
        """The state of each alert that is pending or firing."""
        data = self.get("/alerts") or {"alerts": []}
        return {alert["labels"]["alertname"]: alert["state"] for alert in data["alerts"]}

    def stop(self) -> None:
        self._http.close()
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def installed() -> None:
    debian_packages.ensure_for_tests("prometheus")


@pytest.fixture(scope="module")
def prometheus(installed: None, world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    prometheus = Prometheus(world, tmp_path_factory.mktemp("prometheus"))
    yield prometheus
    prometheus.stop()


def test_every_rule_parses(installed: None) -> None:
    (command,) = console("docs/operations.md", "Monitoring")
    bash(command, ROOT, os.environ)


def test_every_alert_fires_when_it_is_provoked_and_not_before(installed: None) -> None:
    command = ["promtool", "test", "rules", str(PROVOCATIONS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_panel_of_the_board_is_empty(prometheus: Prometheus, world: World, client: Client) -> None:
    assert client.reaches(FAR_4)
    world.call("DELETE", f"/v1/peers/{key_pair().public}")
    scrapes = 'count_over_time(meshgate_requests_total{route="/v1/peers/{public_key:path}"}[1m]) > 2'
    wait_for(lambda: prometheus.query(scrapes), "three scrapes, for rates", within=30)
    empty = [
        title
        for title, expression in PANELS
        if not prometheus.query(expression.replace("$gateway", ".*").replace("$__rate_interval", "30s"))
    ]
    assert empty == []


def test_what_is_wrong_is_an_alert_and_then_none(prometheus: Prometheus, world: World) -> None:
    wait_for(lambda: prometheus.query("meshgate_ready == 1"), "a gateway that is ready", within=30)
    assert prometheus.alerts() == {}
    world.gateway.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    try:
        wait_for(lambda: prometheus.alerts() == {"MeshgateNotReady": "pending"}, "the alert", within=30)
        assert [series["metric"]["part"] for series in prometheus.query("meshgate_problem == 1")] == ["forwarding"]
    finally:
        world.gateway.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
    wait_for(lambda: prometheus.alerts() == {}, "the end of the alert", within=30)


def test_an_agent_that_is_away_is_an_alert(prometheus: Prometheus, world: World) -> None:
    world.stop_agent()
    try:
        wait_for(lambda: "MeshgateMetricsAbsent" in prometheus.alerts(), "the alert", within=30)
    finally:
        world.start_agent()
        world.wait_until_ready()


def test_a_killed_interface_and_what_was_repaired_are_counted(prometheus: Prometheus, world: World) -> None:
    key = key_pair().public
    world.register(key)
    repaired = 'meshgate_peers_repaired_total{repair="brought_in"}'

    def value(expression: str) -> float:
        series = prometheus.query(expression)
        return float(series[0]["value"][1]) if series else -1

    def told(name: str) -> float:
        """What the agent itself says: Prometheus may know of the last test's kill only by its next scrape."""
        lines = world.probe("/metrics").text.splitlines()
        return next(float(line.removeprefix(name)) for line in lines if line.startswith(f"{name} "))

    appeared = "meshgate_interface_appearances_total"
    before = told(appeared), told(repaired)
    world.kill_wireguard()
    wait_for(lambda: value(appeared) > before[0], "the new interface", within=30)
    wait_for(lambda: value(repaired) > before[1], "the repair", within=30)
    world.call("DELETE", f"/v1/peers/{key}")
    world.wait_until_ready()
