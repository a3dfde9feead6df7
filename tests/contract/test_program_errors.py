"""Bad input to the whole program, on the real engine, API server and Headscale: what a user reads, and what is left.

Every refusal is one sentence that says what is wrong and what would be right, without a traceback or a secret; it comes
in `pulumi up`'s own preview, so that nothing is made: no resource, no object, no user, no key.
"""

import re
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import AppsV1Api, CoreV1Api, StorageV1Api

from infra.headscale import EXIT_ROUTES
from infra.headscale.client import Headscale
from infra.resources.base import ResourceError
from infra.resources.connections import Connections
from infra.resources.exit_node import ExitNodeProvider
from lab import pki, pulumi_host, tools
from tests.contract.apiserver import ApiServer, api_server
from tests.contract.engine import PASSPHRASE, Engine, Run
from tests.contract.headscale_server import HeadscaleServer, running_headscale

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi, the API server and Headscale

NAMESPACE, JUNE, ORCHESTRATOR = "meshgate", "june-services", "june-orchestrator"
UNKNOWN_KEY = f"hskey-api-{'a' * 12}-{'b' * 64}"
NEW_KEY = "`headscale apikeys create` there makes one, `pulumi config set --secret headscale_api_key` sets it."

Settings = dict[str, object]


@dataclass(frozen=True)
class World:
    """A cluster with June in it, a Headscale server, and a stack that is to bring them together."""

    api: ApiServer
    headscale: HeadscaleServer
    client: Headscale
    api_key: str
    engine: Engine

    def settings(self, **changes: object) -> Settings:
        """Settings that work, with these changed; None leaves one out."""
        good: Settings = {
            "headscale": {"managed": False, "url": self.headscale.url},
            "gateways": [{"name": "one", "endpoint": "127.0.0.1:31820", "storage_class": "later"}],
            "orchestrator": {"deployment": ORCHESTRATOR},
        }
        return {key: value for key, value in (good | changes).items() if value is not None}

    def everything(self) -> dict[str, object]:
        """What a run could change: objects with their versions, users, keys, the stack's resources."""
        core, apps = CoreV1Api(self.api.api), AppsV1Api(self.api.api)
        objects = (*core.list_namespace().items, *core.list_secret_for_all_namespaces().items)
        return {
            "objects": [(one.metadata.namespace, one.metadata.name, one.metadata.labels) for one in objects],
            "orchestrator": apps.read_namespaced_deployment(ORCHESTRATOR, JUNE).metadata.generation,
            "headscale": self.client.nodes(),
            "resources": self.engine.resources(),
        }

    def refusal(self, settings: Settings, api_key: str | None = None, **environment: str) -> str:
        """What `pulumi up` says when it refuses these settings; it must have changed nothing."""
        self.engine.configure(settings, headscale_api_key=api_key or self.api_key)
        return self.refused(lambda: self.engine.run("up", "--yes", **environment))

    def refused(self, run: Callable[[], Run]) -> str:
        before = self.everything(), self._users()
        done = run()
        assert done.code != 0, done.text
        assert (self.everything(), self._users()) == before
        assert "Traceback" not in done.text
        assert 'File "' not in done.text
        for secret in (self.api_key, UNKNOWN_KEY, PASSPHRASE):
            assert secret not in done.text
        return " ".join(done.text.partition("\nDiagnostics:\n")[2].split()) or done.text

    def _users(self) -> list[str]:
        return [user.name for user in self.headscale.users()]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    etcd = shutil.which("etcd")
    assert etcd, "etcd is missing; install the package etcd-server"
    with api_server(tmp_path_factory.mktemp("apiserver"), tools.resolve(tools.KUBE), Path(etcd)) as server:
        StorageV1Api(server.api).create_storage_class(
            {
                "metadata": {"name": "later"},
                "provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "WaitForFirstConsumer",
            }
        )
        CoreV1Api(server.api).create_namespace({"metadata": {"name": JUNE}})
        add_deployment(server, ORCHESTRATOR)
        yield server


@pytest.fixture(scope="module")
def world(api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    engine = Engine(tmp_path_factory.mktemp("engine"), pulumi_host.find(), api.kubeconfig)
    with running_headscale(tmp_path_factory.mktemp("headscale"), tools.HEADSCALE) as headscale:
        api_key = headscale.new_api_key(datetime.now(UTC) + timedelta(hours=1))
        with Headscale(headscale.url, api_key) as client:
            yield World(api, headscale, client, api_key, engine)
