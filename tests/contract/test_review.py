"""The comment on a pull request, of previews on the real engine, API server and Headscale, with a real tailscaled.

What each test changes the next one finds put right: all of them look at one stack that was brought up once.
"""

import base64
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.headscale import EXIT_ROUTES
from infra.protection import KEPT
from lab import paths
from lab.pulumi import pulumi_host
from tests.contract.apiserver import ApiServer
from tests.contract.pulumi_engine import PASSPHRASE, STACK, Engine
from tests.contract.real_headscale import RealHeadscale
from tests.contract.test_policies import pack
from tests.contract.test_program_errors import JUNE, ORCHESTRATOR, api, core, kubelet
from tests.deadlines import wait_for

__all__ = ["api", "pack"]  # fixtures

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi, the API server and Headscale

NAMESPACE, NODE = "headscale", "meshgate-one"
KEY = "pulumi-python:dynamic/meshgate:WireGuardKey"
EXIT_NODE = "pulumi-python:dynamic/meshgate:ExitNode"
VOLUME, OF_NAMESPACE = "kubernetes:core/v1:PersistentVolumeClaim", "kubernetes:core/v1:Namespace"
TOP = f"<!-- meshgate-review -->\n<!-- verdicts: {STACK}=%s -->\n## What `pulumi up` would do\n\n### `{STACK}`: "
USELESS = "makes clients' configs useless"
UNCHANGED = TOP % "unchanged" + "no changes\n\n21 unchanged\n"


@dataclass(frozen=True)
class Environment:
    """A stack that is up: one gateway, joined to Headscale and known to June's orchestrator."""

    engine: Engine
    server: ApiServer
    headscale: RealHeadscale
    api_key: str

    def settings(
        self, *, url: str | None = None, namespace: str = NAMESPACE, protect: bool = False, **gateway: object
    ) -> None:
        """Settings that the stack was made with, but for these changes."""
        one = {"name": "one", "endpoint": "127.0.0.1:31820", "storage_class": "later"}
        settings: dict[str, object] = {
            "headscale": {"managed": False, "url": url or self.headscale.url},
            "gateways": [one | gateway],
            "orchestrator": {"deployment": ORCHESTRATOR},
            "namespace": namespace,
            "protect": protect,
        }
        self.engine.configure(settings, api_key=self.api_key)

    def comment(self, *options: str, failed: bool = False, **variables: str) -> str:
        """What the review prints, in which no secret may be."""
        config_file = f"--config-file={self.engine.directory / f'Pulumi.{STACK}.yaml'}"
        done = subprocess.run(
            [sys.executable, "-m", "review", STACK, config_file, "--format=markdown", *options],
            cwd=paths.REPOSITORY,
            env=self.engine.environment | variables,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == failed, done.stdout + done.stderr
        assert f"Preview {STACK}" in done.stderr
        ours = [line.split()[-1] for text in self.secrets().values() for line in text.splitlines()]
        for secret in (self.api_key, PASSPHRASE, *ours):
            assert secret not in done.stdout + done.stderr
        return done.stdout

    def secrets(self) -> dict[str, str]:
        """Private key, tokens and pre-auth key of the gateway."""
        data = core(self.server).read_namespaced_secret(NODE, NAMESPACE).data
        return {name: base64.b64decode(value).decode() for name, value in data.items()}

    def approve(self, *routes: str) -> None:
        """Approve these routes of the gateway's node and no others, as an administrator does."""
        headers = {"Authorization": f"Bearer {self.api_key}"}
        with httpx.Client(base_url=f"{self.headscale.url}/api/v1/", headers=headers) as client:
            (node,) = client.get("node").json()["nodes"]
            client.post(f"node/{node['id']}/approve_routes", json={"routes": routes}).raise_for_status()


@pytest.fixture(scope="module")
def environment(
    api: ApiServer, headscale: RealHeadscale, api_key: str, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    engine = Engine(tmp_path_factory.mktemp("engine"), pulumi_host.find(), api.kubeconfig)
    made = Environment(engine, api, headscale, api_key)
    made.settings()
    with kubelet(api, NAMESPACE, ready=True), ThreadPoolExecutor(1) as pool:
        up = pool.submit(engine.run, "up", "--yes")
        wait_for(lambda: _has_secret(api), "the gateway's Secret", within=90)
        headscale.join(made.secrets()["pre-auth-key"], NODE, EXIT_ROUTES)
        assert up.result().code == 0, up.result().text
    return made


def _has_secret(server: ApiServer) -> bool:
    secrets: Any = core(server).list_secret_for_all_namespaces()
    return any(secret.metadata.name == NODE for secret in secrets.items)


@pytest.fixture(autouse=True)
def _as_it_was(environment: Environment) -> None:
    environment.settings()


def test_no_change(environment: Environment) -> None:
    assert environment.comment() == UNCHANGED


def test_a_rotated_key(environment: Environment) -> None:
    """As docs/operations.md rotates it."""
    key = environment.engine.outputs()["server_public_key"]
    lost = "gateway one: its WireGuard key becomes another one, so its devices by WireGuard would need new configs."
    comment = re.sub(r'revision: "[0-9a-f]{16}"', 'revision: "DIGEST"', environment.comment("--replace=**::one-key"))
    assert comment == (
        TOP % "danger" + f"DANGER: {USELESS}, replaces `WireGuardKey` `one-key`\n\n"
        "> [!CAUTION]\n"
        f"> - **Makes configs useless**: `{lost}`\n"
        "> - **Replaces** `WireGuardKey` `one-key`, because that was asked for (`--replace`, or the state marks it). "
        f"It is {KEPT[KEY]}.\n\n"
        "1 replaced, 5 updated, 15 unchanged\n\n"
        "<details>\n<summary>Every change, field by field</summary>\n\n"
        "**replaces** `WireGuardKey` `one-key`\n\n"
        "**updates** `ClientConfigs` `client-configs`\n```diff\n"
        f'- gateways.one.public_key: "{key}"\n'
        "+ gateways.one.public_key: [known after up]\n"
        f'+ lost: ["{lost}"]\n```\n\n'
        "**updates** `Deployment` `one-gateway`\n```diff\n"
        f'- spec.template.metadata.annotations.meshgate/public-key: "{key}"\n'
        "+ spec.template.metadata.annotations.meshgate/public-key: [known after up]\n"
        f'- spec.template.spec.containers[agent].env[MESHGATE_PUBLIC_KEY].value: "{key}"\n'
        "+ spec.template.spec.containers[agent].env[MESHGATE_PUBLIC_KEY].value: [known after up]\n```\n\n"
        "**updates** `Secret` `one-identity`\n```diff\n! data: [secret], another one\n```\n\n"
        '**updates** `Readiness` `one-ready`\n```diff\n- revision: "DIGEST"\n+ revision: [known after up]\n```\n\n'
        "**updates** `WorkloadEnv` `orchestrator/env`\n```diff\n"
        f'- values.HEADSCALE_SERVER_PUBLIC_KEY: "{key}"\n'
        "+ values.HEADSCALE_SERVER_PUBLIC_KEY: [known after up]\n```\n\n"
        "the stack's **outputs**\n```diff\n"
        f'- server_public_key: "{key}"\n+ server_public_key: [known after up]\n```\n\n'
        "</details>\n"
    )


def test_wireguard_given_up(environment: Environment) -> None:
    """Its key goes with it, and with that every client's config."""
    environment.settings(access=["openvpn"], openvpn={"udp_port": 31194})
    comment = environment.comment()
    assert comment.startswith(
        TOP % "danger" + f"DANGER: {USELESS}, deletes `WireGuardKey` `one-key`\n\n"
        "> [!CAUTION]\n"
        "> - **Makes configs useless**: ``gateway one: `access` does not have wireguard any more, so its devices by "
        "WireGuard would need new configs.``\n"
        "> - **Deletes** `WireGuardKey` `one-key`, which the settings do not ask for any more. "
        f"It is {KEPT[KEY]}.\n\n"
    )
    for name in ("values.HEADSCALE_SERVER_PUBLIC_KEY", "values.HEADSCALE_SERVER_ENDPOINT", "server_public_key"):
        assert f"\n- {name}: " in comment


def test_a_rotated_token(environment: Environment) -> None:
    """As docs/operations.md rotates it: the orchestrator is rolled out, and no gateway is."""
    environment.settings(token_rotation="2027-spring")
    (key,) = core(environment.server).read_namespaced_secret("meshgate-gateway", JUNE).data
    assert environment.comment() == (
        TOP % "changes" + "4 changes\n\n"
        "4 updated, 17 unchanged\n\n"
        "<details>\n<summary>Every change, field by field</summary>\n\n"
        "**updates** `Secret` `one-identity`\n```diff\n! data: [secret], another one\n```\n\n"
        '**updates** `Token` `one-token`\n```diff\n- rotation: ""\n+ rotation: "2027-spring"\n```\n\n'
        "**updates** `WorkloadEnv` `orchestrator/env`\n```diff\n"
        f'- secrets.GATEWAY_PEERS_TOKEN.key: "{key}"\n'
        "+ secrets.GATEWAY_PEERS_TOKEN.key: [known after up]\n```\n\n"
        "**updates** `Secret` `orchestrator/token`\n```diff\n! data: [secret], another one\n```\n\n"
        "</details>\n"
    )


def test_a_replaced_gateway(environment: Environment) -> None:
    """By one of another name: all that it was goes, and something else comes."""
    environment.settings(name="two", endpoint="127.0.0.1:31999")
    comment = environment.comment()
    deletes = "> - **Deletes** `%s` `one-%s`, which the settings do not ask for any more."
    assert comment.startswith(
        TOP % "danger" + f"DANGER: {USELESS}, deletes `WireGuardKey` `one-key` and 11 more\n\n"
        "> [!CAUTION]\n"
        "> - **Makes configs useless**: ``gateway one: `gateways` does not have it any more, so its devices would need "
        "new configs.``\n"
        f"{deletes % ('WireGuardKey', 'key')} It is {KEPT[KEY]}.\n"
        f"{deletes % ('ExitNode', 'exit-node')} It is {KEPT[EXIT_NODE]}.\n"
        f"{deletes % ('PersistentVolumeClaim', 'state')} It is {KEPT[VOLUME]}.\n"
        f"{deletes % ('ConfigMap', 'config')}\n"
        f"{deletes % ('Deployment', 'gateway')}\n"
        f"{deletes % ('Secret', 'identity')}\n"
        f"{deletes % ('Service', 'peers')}\n"
        f"{deletes % ('NetworkPolicy', 'policy')}\n"
        f"{deletes % ('PreAuthKey', 'pre-auth-key')}\n"
        f"{deletes % ('Readiness', 'ready')}\n"
        f"{deletes % ('Token', 'token')}\n"
        f"{deletes % ('Service', 'wireguard')}\n\n"
        "12 deleted, 12 created, 4 updated, 5 unchanged\n"
    )
    assert '\n- server_endpoint: "127.0.0.1:31820"\n+ server_endpoint: "127.0.0.1:31999"\n' in comment


def test_a_gateway_that_moves(environment: Environment) -> None:
    """To another namespace: it is replaced part by part, and keeps its key."""
    environment.settings(namespace="elsewhere")
    comment = environment.comment()
    replaces = '> - **Replaces** `%s` `%s`, because `%s` changes from `"headscale"` to `"elsewhere"`.'
    assert comment.startswith(
        TOP % "danger" + "DANGER: replaces `PersistentVolumeClaim` `one-state` and 9 more\n\n"
        "> [!CAUTION]\n"
        f"{replaces % ('PersistentVolumeClaim', 'one-state', 'metadata.namespace')} It is {KEPT[VOLUME]}.\n"
        f"{replaces % ('Namespace', 'cluster/namespace', 'metadata.name')} It is {KEPT[OF_NAMESPACE]}.\n"
        f"{replaces % ('ConfigMap', 'one-config', 'metadata.namespace')}\n"
    )
    assert "10 replaced, 3 updated, 8 unchanged\n" in comment
    assert "WireGuardKey" not in comment


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({"endpoint": "127.0.0.1:31821"}, "`endpoint` changes, and clients dial 127.0.0.1:31820, so its devices by"),
        ({"client_networks": ["10.66.0.0/16"]}, "`client_networks` become 10.66.0.0/16, and devices have addresses"),
        ({"allowed_ips": ["100.64.0.0/10"]}, "`allowed_ips` become 100.64.0.0/10, and devices send 0.0.0.0/0 into"),
    ],
    ids=["endpoint", "client_networks", "allowed_ips"],
)
def test_what_makes_configs_useless_though_nothing_is_replaced(
    environment: Environment, changes: dict[str, object], lost: str
) -> None:
    environment.settings(**changes)  # type: ignore[arg-type]  # they are of the gateway
    comment = environment.comment()
    assert comment.startswith(
        TOP % "danger" + f"DANGER: {USELESS}\n\n> [!CAUTION]\n> - **Makes configs useless**: ``gateway one: {lost} "
    )


def test_a_larger_network_is_no_danger(environment: Environment) -> None:
    environment.settings(client_networks=["10.77.0.0/16", "fd77::/64"])
    assert environment.comment().startswith(TOP % "changes")


def test_a_route_unapproved_by_hand(environment: Environment) -> None:
    environment.approve()
    assert environment.comment() == (
        TOP % "changes" + "1 change, to put right what was changed by hand\n\n"
        "1 updated, 20 unchanged\n\n"
        "<details>\n<summary>Every change, field by field</summary>\n\n"
        "**updates** `ExitNode` `one-exit-node`, changed by hand\n```diff\n"
        '- routes: []  (changed by hand)\n+ routes: ["0.0.0.0/0", "::/0"]\n```\n\n'
        "the stack's **outputs**\n```diff\n+ exit_node: [known after up]\n```\n\n"
        "</details>\n"
    )
    environment.approve(*EXIT_ROUTES)
    assert environment.comment() == UNCHANGED


def test_a_preview_that_fails(environment: Environment) -> None:
    environment.settings(endpoint="vpn.example.com", mtu=9000)
    assert environment.comment(failed=True) == (
        TOP % "failed" + "FAILED\n\n```text\n"
        "meshgate:gateways[0].endpoint: 'vpn.example.com' is not host:port with a port from 1 to 65535, such as "
        "vpn.example.com:31820.\n"
        "meshgate:gateways[0].mtu: 9000 cannot be used: it should be less than or equal to 1420.\n```\n"
    )


@pytest.mark.parametrize("of", ["passphrase", "stack"])
def test_a_preview_that_does_not_begin(environment: Environment, tmp_path: Path, of: str) -> None:
    if of == "stack":
        (tmp_path / ".pulumi").mkdir()
        comment = environment.comment(failed=True, PULUMI_BACKEND_URL=f"file://{tmp_path}")
        assert f"no stack named '{STACK}' found" in comment
    else:
        wrong = {"PULUMI_CONFIG_PASSPHRASE_FILE": "", "PULUMI_CONFIG_PASSPHRASE": "another"}
        comment = environment.comment(failed=True, **wrong)
        assert (
            "\n```text\ngetting stack configuration: get stack secrets manager: incorrect passphrase\n```\n" in comment
        )
    assert comment.startswith(TOP % "failed" + "FAILED\n\n```text\n")


def test_a_headscale_that_cannot_be_reached(environment: Environment) -> None:
    environment.settings(url="http://127.0.0.1:1")
    comment = environment.comment(failed=True)
    assert comment.startswith(
        TOP % "unreachable" + "UNREACHABLE\n\n```text\n"
        "Headscale at http://127.0.0.1:1 cannot be reached: [Errno 111] Connection refused; "
        "check that it runs and that this is its URL.\n```\n"
    )
    assert "so each node and device would have to join the mesh again." in comment


def test_a_cluster_that_cannot_be_reached(environment: Environment, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    known = environment.server.kubeconfig.read_text()
    kubeconfig.write_text(re.sub(r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:1", known))
    comment = environment.comment(failed=True, KUBECONFIG=str(kubeconfig))
    assert comment.startswith(
        TOP % "unreachable" + "UNREACHABLE\n\n```text\nconfigured Kubernetes cluster is unreachable"
    )


def test_a_state_that_cannot_be_reached(environment: Environment) -> None:
    s3 = "s3://state?endpoint=http://127.0.0.1:1&region=eu-central-1&s3ForcePathStyle=true"
    credentials = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "an-aws-key"}
    comment = environment.comment(failed=True, PULUMI_BACKEND_URL=s3, **credentials)
    assert comment.startswith(TOP % "unreachable" + "UNREACHABLE\n\n```text\n")
    assert "connection refused" in comment
    assert "an-aws-key" not in comment


def test_a_namespace_of_somebody_else(environment: Environment) -> None:
    """A refusal of the program's own, while the engine plans."""
    core(environment.server).create_namespace({"metadata": {"name": "of-others"}})
    environment.settings(namespace="of-others")
    assert environment.comment(failed=True).startswith(
        TOP % "failed" + "FAILED\n\n```text\n"
        "Namespace of-others exists and is not this stack's, whose `pulumi destroy` would delete it; use it as it is "
        "(`create_namespace: false`), set `namespace` to another name, or hand it over: "
    )


def test_broken_rules(environment: Environment, pack: Path) -> None:
    """They are told, and all that would change with them."""
    environment.settings(mtu=1400)
    search = os.pathsep.join((os.environ["PATH"], str(pulumi_host.find())))
    comment = environment.comment(f"--policy-pack={pack}", failed=True, PATH=search)
    assert comment.startswith(TOP % "failed" + "FAILED\n\n```text\n")
    assert (
        "image-by-digest: Outside the lab an image is named by its digest.\n"
        "image meshgate/gateway:0.1.0 of container agent has no digest; write meshgate/gateway:0.1.0@sha256:…\n"
    ) in comment
    assert '\n- data.MESHGATE_MTU: "1280"\n+ data.MESHGATE_MTU: "1400"\n' in comment
    assert "**updates** `Deployment`" not in comment


def test_what_is_protected_says_so(environment: Environment) -> None:
    """The last one: the stack stays protected."""
    environment.settings(protect=True)
    up = environment.engine.run("up", "--yes", "--skip-preview")
    assert up.code == 0, up.text
    assert environment.comment("--replace=**::one-key", failed=True).startswith(
        TOP % "failed" + "FAILED\n\n```text\n"
        f"WireGuardKey one-key would be replaced, and it is protected: it is {KEPT[KEY]}. "
        "`protect: false` in the stack's settings allows that (docs/policies.md).\n```\n"
    )
    environment.settings(endpoint="127.0.0.1:31999", protect=True)
    assert environment.comment(failed=True) == (
        TOP % "failed" + "FAILED\n\n```text\n"
        "gateway one: `endpoint` changes, and clients dial 127.0.0.1:31820, so its devices by WireGuard would need new "
        "configs. `protect: false` in the stack's settings allows that (docs/policies.md).\n```\n"
    )
    environment.settings(name="two", endpoint="127.0.0.1:31999", protect=True)
    comment = environment.comment(failed=True)
    assert re.search(r"would be deleted, and it is protected: it is .*\. `protect: false` ", comment)
