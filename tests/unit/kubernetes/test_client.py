"""One connection to the cluster for each operation of a provider, over a small API server on loopback."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any
from unittest.mock import Mock

import pytest
import trustme
import yaml
from kubernetes import config

from gateway.headscale import polling
from infra.kubernetes.client import ClusterUnavailableError, KubernetesClient
from infra.resources.connections import Connections, settings_by
from infra.resources.workload_env import WorkloadEnvProvider
from tests.unit.resources.fake_connections import CONFIG

DEPLOYMENT = "/apis/apps/v1/namespaces/june-services/deployments/june-orchestrator"
INPUTS: dict[str, Any] = {
    "namespace": "june-services",
    "deployment": "june-orchestrator",
    "container": "orchestrator",
    "values": {"HEADSCALE_SERVER_PUBLIC_KEY": "key-1"},
    "secrets": {},
    "manager": "meshgate",
    "force": False,
    "deadline_seconds": 10.0,
}


class Api(ThreadingHTTPServer):
    """An API server with one Deployment, which is rolled out at the third look after it was changed."""

    LOOKS = 3

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.connections = 0
        self.calls: list[tuple[str, str]] = []

    def deployment(self) -> dict[str, Any]:
        changed = ("PATCH", DEPLOYMENT) in self.calls
        looks = len(self.calls[self.calls.index(("PATCH", DEPLOYMENT)) :]) - 1 if changed else 0
        count = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": int(looks >= self.LOOKS)}
        container = {"name": "orchestrator", "env": []}
        return {
            "metadata": {"name": "june-orchestrator", "namespace": "june-services", "generation": 1},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [container]}}},
            "status": {"observedGeneration": 1, **count},
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Api

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.calls.append((self.command, path))
        body = json.dumps(self.server.deployment()).encode()
        self.send_response(200 if path == DEPLOYMENT else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PATCH = _answer  # noqa: N815 (http.server's)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """The cluster of the default kubeconfig."""
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        document = {
            "clusters": [{"name": "one", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
            "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
            "users": [{"name": "one", "user": {}}],
            "current-context": "one",
        }
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(document))
        # What KUBECONFIG says is read when kubernetes is imported.
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Is called each time that the kubeconfig is loaded."""
    loads = Mock(wraps=config.load_kube_config)
    monkeypatch.setattr(config, "load_kube_config", loads)
    return loads


def test_an_operation_that_polls_connects_once(api: Api, loads: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "INTERVAL", 0.01)
    provider = WorkloadEnvProvider()
    provider.connect = lambda: Connections(settings_by(CONFIG.get))
    provider.create(dict(INPUTS))
    assert api.calls == [("GET", DEPLOYMENT), ("PATCH", DEPLOYMENT), *[("GET", DEPLOYMENT)] * Api.LOOKS]
    assert loads.call_count == 1
    assert api.connections == 1
    provider.read("id", INPUTS)
    assert (loads.call_count, api.connections) == (2, 2), "the next operation has a connection of its own"


def test_the_first_call_connects(api: Api, loads: Mock) -> None:
    with KubernetesClient(None) as cluster:
        assert not loads.called
        assert cluster.deployment("june-services", "june") is None
        assert cluster.deployment("june-services", "june-orchestrator")
    assert (loads.call_count, api.connections) == (1, 1)


def test_threads_that_share_a_client_read_the_kubeconfig_once(api: Api, loads: Mock) -> None:
    with KubernetesClient(None) as cluster, ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: cluster.deployment("june-services", "june-orchestrator"), range(8)))
    assert loads.call_count == 1


def test_a_kubeconfig_that_appears_meanwhile_is_read(api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a poll: a connection that could not be made is tried again."""
    missing = tmp_path / "later"
    with KubernetesClient(None, str(missing)) as cluster:
        with pytest.raises(ClusterUnavailableError, match="There is no cluster"):
            cluster.deployment("june-services", "june-orchestrator")
        (tmp_path / "kubeconfig").rename(missing)
        assert cluster.deployment("june-services", "june-orchestrator")


def test_threads_that_connect_at_once_trust_the_clusters_authority(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kubernetes library tells other threads of the authority's file before the file is written."""

    def slow_open(path: str, mode: str = "r") -> IO[Any]:
        time.sleep(0.2)
        return Path(path).open(mode)

    monkeypatch.setattr("kubernetes.config.kube_config.open", slow_open, raising=False)
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    api.socket = tls.wrap_socket(api.socket, server_side=True)
    kubeconfig = tmp_path / "kubeconfig"
    document = yaml.safe_load(kubeconfig.read_text())
    pem = base64.b64encode(authority.cert_pem.bytes()).decode()
    document["clusters"][0]["cluster"] = {
        "server": f"https://127.0.0.1:{api.server_port}",
        "certificate-authority-data": pem,
    }
    kubeconfig.write_text(yaml.safe_dump(document))

    def deployment(_: int) -> object:
        with KubernetesClient(None) as cluster:
            return cluster.deployment("june-services", "june-orchestrator")

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(deployment, range(4)))
