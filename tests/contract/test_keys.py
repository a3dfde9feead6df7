"""The key service with real Headscale servers and real tailscaled nodes: in by its answer alone, and out again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from gateway.headscale.client import Headscale
from lab import paths
from lab.tools import pinned_tools
from tests.contract.programs import free_port, listens, running
from tests.contract.real_headscale import RealHeadscale, running_headscale
from tests.deadlines import wait_for

pytestmark = pytest.mark.timeout(600)  # the first run on a machine builds two servers and a client

TOKEN = "a-token-for-tests"
ADA = {"owner": "ada"}
TAG = "tag:device"


class Service:
    """The service in a process of its own."""

    def __init__(self, http: httpx.Client, probes: httpx.Client, server: RealHeadscale, headscale: Headscale) -> None:
        self.http = http
        self.probes = probes
        self.server = server
        self.headscale = headscale


@pytest.fixture(params=[pinned_tools.HEADSCALE, pinned_tools.HEADSCALE_0_23], ids=["0.29.3", "0.23.0"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    with running_headscale(tmp_path, request.param) as server:
        api_key = server.new_api_key(datetime.now(UTC) + timedelta(hours=1))
        server.own_tags((TAG,))
        (tmp_path / "api-key").write_text(api_key)
        (tmp_path / "tokens").write_text(f"register {TOKEN}\n")
        port, probes = free_port(), free_port()
        environment = {
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PATH": os.environ["PATH"],
            "MESHGATE_HEADSCALE_URL": server.url,
            "MESHGATE_API_KEY_FILE": str(tmp_path / "api-key"),
            "MESHGATE_USER": "devices",
            "MESHGATE_TAGS": TAG,
            "MESHGATE_TOKEN_FILE": str(tmp_path / "tokens"),
            "MESHGATE_HTTP_HOST": "127.0.0.1",
            "MESHGATE_HTTP_PORT": str(port),
            "MESHGATE_PROBE_PORT": str(probes),
        }
        log = tmp_path / "keys.log"
        with (
            running([sys.executable, "-m", "gateway.keys"], log, **environment),
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
            ) as http,
            httpx.Client(base_url=f"http://127.0.0.1:{probes}", trust_env=False) as probe,
            Headscale(server.url, api_key) as headscale,
        ):
            wait_for(lambda: listens(port) and listens(probes), "the key service", log=log)
            yield Service(http, probe, server, headscale)
        said = log.read_text()
        assert api_key not in said
        assert TOKEN not in said


def test_a_device_is_in_by_the_answer_alone_and_out_when_it_is_removed(service: Service) -> None:
    assert service.probes.get("/readyz").status_code == 200
    answer = service.http.post("/v1/devices", json={**ADA, "name": "phone"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    path = f"/v1/devices/{made['id']}"
    service.server.join(made["pre_auth_key"], "phone", ())

    def joined() -> bool:
        return bool(service.http.get(path, params=ADA).json()["node"])

    wait_for(joined, "the node", within=20)
    assert service.http.get(path, params=ADA).json()["node"]["tags"] == [TAG]
    with pytest.raises(PermissionError):
        service.server.join(made["pre_auth_key"], "second", ())

    start = time.monotonic()
    assert service.http.delete(path, params=ADA).status_code == 204
    assert time.monotonic() - start < 5
    assert not [one for one in service.headscale.nodes() if one.given_name == "phone"]
    assert service.http.get(path, params=ADA).status_code == 404


def test_a_headscale_that_refuses_the_api_key_is_told_by_readyz(service: Service, tmp_path: Path) -> None:
    assert waited(service, tmp_path).returncode == 0
    (tmp_path / "api-key").write_text("hskey-api-000000000000-" + "0" * 64)
    wait_for(lambda: service.probes.get("/readyz").status_code == 503, "the news", within=15)
    assert service.http.post("/v1/devices", json=ADA).status_code == 503
    told = waited(service, tmp_path)
    assert told.returncode != 0
    said = " ".join(told.stdout.split())
    assert f"The key service is not ready: Headscale at {service.server.url} does not accept the API key" in said


def waited(service: Service, directory: Path) -> "subprocess.CompletedProcess[str]":
    """The end of playbooks/keys.yml on this machine: the wait for the service."""
    settings = {"http_host": service.probes.base_url.host, "probe_port": service.probes.base_url.port}
    role = {"name": "keys", "tasks_from": "ready"}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"meshgate_key_settings": settings},
        "tasks": [{"ansible.builtin.import_role": role}],
    }
    file = directory / "play.yml"
    file.write_text(json.dumps([play]))
    return subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), str(file)],
        cwd=paths.REPOSITORY,
        env={**os.environ, "ANSIBLE_HOME": str(directory / "ansible"), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
