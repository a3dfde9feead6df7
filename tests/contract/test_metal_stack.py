"""A stack with a gateway on bare metal: real engine, API server, Headscale and tailscaled; no machine but its node.

The playbook is played by the test: it reads the stack as the playbook does, and lets a tailscaled join.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.client import Headscale
from gateway.headscale.errors import NotFoundError
from lab import paths
from lab.pulumi import pulumi_host
from tests.contract.apiserver import ApiServer
from tests.contract.pulumi_engine import PROJECT, STACK, Engine
from tests.contract.real_headscale import RealHeadscale
from tests.contract.test_program_errors import JUNE, ORCHESTRATOR, api, apps

__all__ = ["api"]

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi, the API server and Headscale

EDGE: dict[str, Any] = {
    "name": "edge",
    "endpoint": "edge.example.com:51820",
    "target": "metal",
    "host": "192.0.2.7",
    "peers_url": "http://10.0.0.5:8080",
}
IN_CLUSTER: dict[str, Any] = {
    "name": "one",
    "endpoint": "127.0.0.1:31820",
    "client_networks": ["10.78.0.0/16"],
    "storage_class": "later",
}
NAMES = ["HEADSCALE_SERVER_PUBLIC_KEY", "HEADSCALE_SERVER_ENDPOINT", "GATEWAY_PEERS_URL", "GATEWAY_PEERS_TOKEN"]
NOT_JOINED = "Gateway meshgate-edge has not joined yet: run the playbook, then `pulumi up` again."


@dataclass(frozen=True)
class Stack:
    """A stack of its own, with a Headscale user of its own."""

    engine: Engine
    headscale: RealHeadscale
    api_key: str
    user: str

    def configure(self, *gateways: dict[str, Any], orchestrator: bool = True) -> None:
        settings: dict[str, object] = {
            "namespace": self.user,
            "headscale": {"managed": False, "url": self.headscale.url, "user": self.user},
            "gateways": list(gateways),
            "orchestrator": {"deployment": ORCHESTRATOR} if orchestrator else {},
        }
        self.engine.configure(settings, api_key=self.api_key)

    def run(self, operation: str, *options: str) -> str:
        done = self.engine.run(operation, *options)
        assert done.code == 0, done.text
        return done.text

    def up(self) -> str:
        return self.run("up", "--yes", "--skip-preview")

    def join(self, gateway: str = "edge") -> None:
        """What the playbook does to Headscale."""
        key = self.engine.outputs()["metal"][gateway]["pre_auth_key"]
        self.headscale.join(key, f"meshgate-{gateway}", EXIT_ROUTES)

    @contextmanager
    def client(self) -> Iterator[Headscale]:
        with Headscale(self.headscale.url, self.api_key) as headscale:
            yield headscale

    def un_approve(self, node_id: str) -> None:
        url = f"{self.headscale.url}/api/v1/node/{node_id}/approve_routes"
        headers = {"Authorization": f"Bearer {self.api_key}"}
        httpx.post(url, json={"routes": []}, headers=headers).raise_for_status()

    @property
    def locks(self) -> Path:
        return self.engine.directory / "state" / ".pulumi" / "locks" / "organization" / PROJECT / STACK


@pytest.fixture
def stack(headscale: RealHeadscale, api_key: str, tmp_path: Path, request: pytest.FixtureRequest) -> Stack:
    """Without a cluster, unless the test has one."""
    has_cluster = "api" in request.fixturenames
    kubeconfig = request.getfixturevalue("api").kubeconfig if has_cluster else tmp_path / "no-kubeconfig"
    engine = Engine(tmp_path, pulumi_host.find(), kubeconfig)
    user = request.node.name.removeprefix("test_").replace("_", "-")[:30].strip("-")
    return Stack(engine, headscale, api_key, user)


def orchestrator_env(server: ApiServer) -> dict[str, str | None]:
    deployment = apps(server).read_namespaced_deployment(ORCHESTRATOR, JUNE)
    return {entry.name: entry.value for entry in deployment.spec.template.spec.containers[0].env or []}


def test_from_nothing_to_nothing(stack: Stack, api: ApiServer) -> None:
    stack.configure(EDGE)
    assert NOT_JOINED in stack.up()
    assert not orchestrator_env(api)
    outputs = stack.engine.outputs()
    assert outputs["exit_node"] == {"id": "", "name": "", "addresses": [], "node_key": "", "routes": []}
    assert "edge-exit-node update" in stack.run("preview")

    stack.join()
    preview = stack.run("preview", "--diff")
    assert "~ 3 to update" in preview, "the exit node, that it stands, and so the env"
    for name in NAMES:
        assert name in preview
    up = stack.up()
    assert "~ 3 updated" in up
    assert NOT_JOINED not in up
    with stack.client() as client:
        (node,) = [node for node in client.nodes() if node.name == "meshgate-edge"]
    assert node.is_exit
    assert orchestrator_env(api) == {
        "HEADSCALE_SERVER_PUBLIC_KEY": outputs["metal"]["edge"]["public_key"],
        "HEADSCALE_SERVER_ENDPOINT": "edge.example.com:51820",
        "GATEWAY_PEERS_URL": "http://10.0.0.5:8080",
        "GATEWAY_PEERS_TOKEN": None,  # by reference
    }
    assert stack.engine.outputs()["exit_node"]["id"] == node.id
    stack.run("up", "--yes", "--expect-no-changes")
    stack.run("refresh", "--yes", "--expect-no-changes")

    stack.un_approve(node.id)
    assert "edge-exit-node update" in stack.run("refresh", "--yes")
    assert "edge-exit-node update" in stack.up()
    with stack.client() as client:
        assert client.node(node.id).is_exit

    stack.run("destroy", "--yes")
    assert not orchestrator_env(api)
    assert not stack.engine.resources()
    with stack.client() as client:
        assert node.id not in {node.id for node in client.nodes()}
        with pytest.raises(NotFoundError):
            client.user(stack.user)


def test_a_gateway_of_each_kind_behind_one_orchestrator(stack: Stack, api: ApiServer) -> None:
    """As far as a preview goes; their packets are end to end's."""
    stack.configure(EDGE, IN_CLUSTER)
    preview = stack.run("preview", "--diff")
    for name in ("edge-key", "one-key", "edge-exit-node", "one-exit-node", "one-gateway"):
        assert f"::{name}]" in preview
    for name in (*NAMES, "GATEWAYS", "GATEWAY_EDGE_ENDPOINT", "GATEWAY_ONE_PEERS_TOKEN"):
        assert name in preview


def test_a_machine_does_not_become_a_pod(stack: Stack, api: ApiServer) -> None:
    """Its node would be taken for the pod's."""
    stack.configure(EDGE, orchestrator=False)
    stack.up()
    stack.configure(IN_CLUSTER | {"name": "edge"}, orchestrator=False)
    done = stack.engine.run("preview")
    assert done.code != 0
    assert "gateway meshgate-edge is a machine, which cannot change: add one of another name in its place" in done.said


@contextmanager
def files_seen(directory: Path) -> Iterator[set[Path]]:
    """The files that are in a directory meanwhile."""
    seen: set[Path] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            seen.update(directory.glob("*.json"))

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    done.set()
    thread.join()


def inventory(stack: Stack, source: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-inventory"), "--list", "-i", source],
        cwd=paths.REPOSITORY,  # where ansible.cfg is
        env={**stack.engine.environment, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def source(stack: Stack, name: str = STACK) -> Path:
    file = stack.engine.directory / "test.meshgate_stack.yml"
    file.write_text(f"plugin: meshgate_stack\nstack: {name}\nproject_dir: .\n")
    return file


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence that it must have ended with."""
    assert done.returncode == 4, done.stderr
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    return line.removeprefix("[ERROR]: ")


def test_the_playbook_reads_the_stack(stack: Stack) -> None:
    stack.configure(EDGE, orchestrator=False)
    with files_seen(stack.locks) as locks:
        stack.up()
    assert locks
    metal = stack.engine.outputs()["metal"]["edge"]
    listed = inventory(stack, source(stack))
    assert listed.returncode == 0, listed.stderr
    assert not listed.stderr
    found = json.loads(listed.stdout, object_hook=lambda one: one.get("__ansible_unsafe", one))
    assert found["meshgate"] == {"hosts": ["edge"]}
    assert found["_meta"]["hostvars"]["edge"] == {
        "ansible_host": "192.0.2.7",
        "meshgate_gateway": EDGE,
        "meshgate_headscale": {"url": stack.headscale.url, "user": stack.user},
        "meshgate_headscale_api_key": stack.api_key,
        "meshgate_private_key": metal["private_key"],
        "meshgate_public_key": metal["public_key"],
        "meshgate_tokens": metal["tokens"],
        "meshgate_pre_auth_key": metal["pre_auth_key"],
        "meshgate_pre_auth_key_id": metal["pre_auth_key_id"],
    }


def test_an_api_key_that_ends_soon_is_a_warning_in_preview_and_up(stack: Stack) -> None:
    ends = datetime.now(UTC) + timedelta(days=13)
    stack = replace(stack, api_key=stack.headscale.new_api_key(ends))
    stack.configure(EDGE, orchestrator=False)
    warning = f"warning: The API key for Headscale at {stack.headscale.url} ends on {ends:%Y-%m-%d}"
    for told in (stack.run("preview"), stack.up(), stack.run("preview")):
        assert warning in told


def test_what_the_playbook_cannot_read(stack: Stack) -> None:
    stack.configure(EDGE, orchestrator=False)
    assert refusal(inventory(stack, source(stack))) == (
        f"Stack {STACK} has no gateway on bare metal; set `target: metal` for one of its gateways and run `pulumi up`."
    )
    stack.up()
    assert refusal(inventory(stack, source(stack, "prod"))) == (
        f"Project {PROJECT} has no stack prod: there are {STACK}; set `stack` to one that is there."
    )
    for passphrase, what in (("wrong", "wrong"), (None, "missing")):
        given = {} if passphrase is None else {"PULUMI_CONFIG_PASSPHRASE": passphrase}
        assert refusal(inventory(stack, source(stack), PULUMI_CONFIG_PASSPHRASE_FILE="", **given)) == (
            f"The stack's passphrase is {what}; set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to the "
            "one that the stack was made with."
        )
    assert refusal(inventory(stack, source(stack), PATH="/usr/bin")) == (
        "The command pulumi is not on PATH; install it (https://www.pulumi.com/docs/install/) or put it there."
    )
    stack.locks.mkdir(parents=True, exist_ok=True)
    (stack.locks / "somebody.json").touch()
    assert refusal(inventory(stack, source(stack))) == (
        f"Stack {STACK} is locked: it is being updated right now; run this again when that has ended, or "
        f"`pulumi cancel --stack {STACK}` first if that run was killed."
    )
