"""Two environments in one cluster, beside the lab's own stack: brought up, changed, drifted, repaired, destroyed apart.

`dev` has a Headscale of its own and comes in by a node port, `staging` uses the one that is there and a load balancer.
In this order: each test leaves both as it found them, but for the last.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.errors import StepError
from gateway.headscale.client import Headscale
from infra import curve25519
from lab import paths
from lab.cluster import kube, surroundings
from lab.cluster.startup import PKI
from lab.network import topology
from lab.network import wireguard_client as clients
from lab.network.sandbox import Sandbox
from lab.network.wireguard_client import Client, Config
from lab.processes.daemon import Daemon
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from lab.tools import go_builds, pinned_tools
from tests.deadlines import wait_for
from tests.e2e import lab_world, life
from tests.pings import pinging
from tests.unit.docs.commands import bash, console

pytestmark = pytest.mark.timeout(300)

TLS_PORT, NODE_PORT, STUN_PORT = 8443, 30081, 30479
FRONT = Daemon("dev-front")
KUBELET_SYNC_S = 150
"""A changed Secret or ConfigMap is in the pod's files within a minute and a half."""


@dataclass(frozen=True)
class Environment:
    """One environment; stack, gateway and the end of its namespace have its name."""

    stack: Stack
    headscale_url: str
    api_key: str

    @property
    def name(self) -> str:
        return self.stack.name

    @property
    def namespace(self) -> str:
        return f"meshgate-{self.name}"

    def headscale(self) -> Headscale:
        return Headscale(self.headscale_url, self.api_key, ca_certificate=PKI.ca.read_text())

    def exit_nodes(self) -> set[str]:
        """The gateways in its mesh."""
        with self.headscale() as headscale:
            return {node.given_name for node in headscale.nodes() if node.is_exit}

    def in_agent(self, *command: str) -> str:
        return kube.kubectl("exec", "-n", self.namespace, f"deploy/meshgate-{self.name}", "-c", "agent", "--", *command)

    def tokens(self) -> list[str]:
        """The lines of its agent's token file."""
        return self.in_agent("cat", "/etc/meshgate/tokens").splitlines()

    def let_in(self) -> Config:
        """A config for a device that the operator lets in by hand."""
        return lab_world.let_in_by_hand(self.namespace, f"meshgate-{self.name}")

    def pod(self) -> str:
        """The uid of its gateway's pod."""
        listed = kube.kubectl(
            "get", "pods", "-n", self.namespace, "-l", f"app.kubernetes.io/instance={self.name}", "-o", "json"
        )
        (pod,) = json.loads(listed)["items"]
        return str(pod["metadata"]["uid"])


@contextmanager
def tls_front(directory: Path) -> Iterator[str]:
    """TLS in front of dev's Headscale, as the lab has it in front of its own; gives the URL."""
    (text,) = surroundings.tls_front(PKI).files.values()
    config = directory / "nginx.conf"
    config.write_text(
        text.replace(":443 ssl", f":{TLS_PORT} ssl").replace(f":{surroundings.HEADSCALE_NODE_PORT};", f":{NODE_PORT};")
    )
    sandbox = Sandbox(network=topology.NODE, hostname="dev-front", empty=("/run",))
    FRONT.start(sandbox.command(["nginx", "-e", "/dev/stderr", "-c", str(config)]))
    try:
        yield f"https://{topology.NODE_IPV4}:{TLS_PORT}"
    finally:
        FRONT.stop()


@contextmanager
def up(name: str, settings: dict[str, Any], api_key: str | None = None) -> Iterator[Stack]:
    stack = Stack(pulumi_host.find(), name)
    stack.prepare(settings | {"namespace": f"meshgate-{name}", "orchestrator": {}})
    if api_key:
        stack.set_secret("headscale_api_key", api_key)
    try:
        life.up(stack)
        yield stack
    finally:
        life.destroy(stack)
        stack.remove()


@pytest.fixture(scope="module")
def dev(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    settings = stack.settings()
    with tls_front(tmp_path_factory.mktemp("front")) as url:
        headscale = settings["headscale"] | {"url": url, "node_port": NODE_PORT, "stun_node_port": STUN_PORT}
        gateway = gateway_like(settings, "dev", f"{topology.NODE_IPV4}:31822", "10.78.0.0/16")
        with up("dev", settings | {"headscale": headscale, "gateways": [gateway]}) as dev:
            api_key = kube.secret_value("meshgate-dev", "headscale-api-key", "api-key")
            assert api_key is not None
            yield Environment(dev, url, api_key)


@pytest.fixture(scope="module")
def staging(stack: Stack) -> Iterator[Environment]:
    settings = stack.settings()
    url = settings["headscale"]["url"]
    headscale = {"managed": False, "url": url, "ca_certificate": settings["headscale"]["ca_certificate"]}
    gateway = gateway_like(settings, "staging", f"{topology.NODE_IPV4}:51822", "10.79.0.0/16")
    gateway["exposure"] = "LoadBalancer"
    with up("staging", settings | {"headscale": headscale, "gateways": [gateway]}, lab_world.api_key()) as staging:
        play_the_cloud()
        yield Environment(staging, url, lab_world.api_key())


def gateway_like(settings: dict[str, Any], name: str, endpoint: str, client_network: str) -> dict[str, Any]:
    """The lab's gateway, but for what two environments must not share."""
    lab: dict[str, Any] = settings["gateways"][0]
    return lab | {"name": name, "endpoint": endpoint, "client_networks": [client_network]}


def play_the_cloud() -> None:
    """Give staging's load balancer the node's address, as a cloud's controller gives it one."""
    status = {"status": {"loadBalancer": {"ingress": [{"ip": topology.NODE_IPV4}]}}}
    service = ("-n", "meshgate-staging", "service", "meshgate-staging")
    kube.kubectl("patch", *service, "--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")


def test_both_are_there_and_the_first_stack_beside_them(stack: Stack, dev: Environment, staging: Environment) -> None:
    for environment in (dev, staging):
        life.assert_settled(environment.stack)
        with clients.connected(environment.name, environment.let_in()) as client:
            assert lab_world.passes(client, lab_world.INTERNET[0], 10)
    life.assert_whole(stack)


def test_they_do_not_meet(dev: Environment, staging: Environment) -> None:
    assert dev.exit_nodes() == {"meshgate-dev"}
    assert {"meshgate-staging", lab_world.GATEWAY} == staging.exit_nodes()
    outputs = {environment.name: environment.stack.outputs() for environment in (dev, staging)}
    assert outputs["dev"]["server_public_key"] != outputs["staging"]["server_public_key"]
    tokens = [set(environment.tokens()) for environment in (dev, staging)]
    assert not tokens[0] & tokens[1]

    # A device of dev at staging's endpoint: its key is unknown there.
    config = dev.let_in()
    stranger = Config(
        **vars(config)
        | {
            "endpoint": outputs["staging"]["server_endpoint"],
            "server_public_key": outputs["staging"]["server_public_key"],
        }
    )
    with clients.connected("stranger", stranger) as client:
        assert not lab_world.passes(client, lab_world.INTERNET[0], 5)
        assert client.handshake_seconds() is None
    # At its own: out into the Internet, not into the other's pod, nor into the other's mesh.
    with clients.connected("device", config) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)
        assert not reaches_gateway_of(client, staging)


def reaches_gateway_of(client: Client, environment: Environment) -> bool:
    """By the pod's own address, as if there were no other way."""
    pods = json.loads(kube.kubectl("get", "pods", "-n", environment.namespace, "-o", "json"))["items"]
    addresses = [pod["status"]["podIP"] for pod in pods]
    return any(lab_world.passes(client, f"http://{address}:8081/healthz") for address in addresses)


def test_a_change_of_one_is_no_change_of_the_other(dev: Environment, staging: Environment) -> None:
    before, pod = dev.stack.settings(), dev.pod()
    dev.stack.write(before | {"gateways": [before["gateways"][0] | {"persistent_keepalive": 20}]})
    preview = dev.stack.run("preview")
    assert "dev-config" in preview
    assert "dev-gateway" not in preview
    staging.stack.run("preview", "--expect-no-changes")

    with clients.connected("dev", dev.let_in()) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)
        with pinging(client.inside, topology.INTERNET_IPV4) as pings:
            life.up(dev.stack)
            file = "/etc/meshgate-settings/MESHGATE_PERSISTENT_KEEPALIVE"
            wait_for(lambda: dev.in_agent("cat", file).strip() == "20", "the changed file", KUBELET_SYNC_S)
            wait_for(lambda: dev.let_in().persistent_keepalive == 20, "the changed setting")
    assert pings.longest_gap_s < 1
    assert dev.pod() == pod
    life.assert_settled(dev.stack)
    life.assert_settled(staging.stack)


def test_a_change_that_would_cut_devices_off_says_how_many(dev: Environment) -> None:
    """Told by the gateway itself, from within its pod."""
    dev.let_in()
    before = dev.stack.settings()
    moved = before | {"gateways": [before["gateways"][0] | {"endpoint": f"{topology.NODE_IPV4}:31823"}]}
    sentence = (
        rf"gateway dev: `endpoint` changes, and clients dial {topology.NODE_IPV4}:31822, so its devices by WireGuard "
        r"would need new configs \(the gateway has [1-9]\d* in all\)\."
    )
    try:
        dev.stack.write(moved)
        assert re.search(sentence, dev.stack.run("preview"))
        dev.stack.write(moved | {"protect": True})
        with pytest.raises(StepError, match=sentence):
            dev.stack.run("preview")
    finally:
        dev.stack.write(before)
    life.assert_settled(dev.stack)


def test_drift_of_one_is_seen_there_and_repaired_there(dev: Environment, staging: Environment) -> None:
    pod = staging.pod()
    kube.kubectl("delete", "-n", dev.namespace, "service", "meshgate-dev-peers")
    assert "dev-peers" in dev.stack.run("preview", "--refresh")
    life.assert_settled(staging.stack)
    dev.stack.run("up", "--yes", "--skip-preview", "--refresh")
    life.assert_settled(dev.stack)
    assert staging.pod() == pod


# Commands of docs/operations.md, as an operator of staging runs them


def as_of_staging(command: str) -> str:
    """The page's examples are of a stack `prod` in the namespace `headscale`."""
    command = re.sub(r"-n headscale\b(?!-)", "-n meshgate-staging", command)
    for name in ("meshgate-prod", "instance=prod", "--stack prod", "STACK=prod", "**::prod-"):
        command = command.replace(name, name.replace("prod", "staging"))
    return command


@dataclass(frozen=True)
class Operator:
    """Runs the page's commands with the lab's programs; the first ones are the way to the peer API."""

    environment: Environment

    def run(self, command: str) -> str:
        forward, token = map(as_of_staging, console("docs/operations.md", "Operations"))
        script = as_of_staging(command)
        if script.startswith("pulumi "):
            script += f" --config-file={self.environment.stack.config_file} --non-interactive"
        if script.startswith("pulumi up "):
            script += " --yes --skip-preview"
        if script.startswith("make "):
            script += f" CONFIG_FILE={self.environment.stack.config_file}"
        if "curl " in script:
            answers = "until curl -sf http://127.0.0.1:8081/healthz >/dev/null; do sleep 0.1; done"
            script = f"{forward} >/dev/null & trap 'kill $!' EXIT\n{answers}\n{token}\n{script}"
        stack = self.environment.stack
        path = os.pathsep.join((str(go_builds.resolve(pinned_tools.KUBE).parent), stack.environment()["PATH"]))
        apart = {"PATH": path, "KUBECACHEDIR": str(paths.RUN / "kubectl"), "NO_PROXY": "*"}
        printed = bash(script, paths.REPOSITORY, {**os.environ, **stack.environment(), **apart})
        if script.startswith("pulumi up "):
            life.settle(stack)
        return printed


@pytest.mark.timeout(600)
def test_what_an_operator_does_by_the_documentation(staging: Environment) -> None:
    operator = Operator(staging)
    public_key = curve25519.public_key(curve25519.generate_private_key())
    operator.run(console("docs/start.md", "Your own cluster")[-1].replace("…", public_key))
    listed, by_hand, revoke = console("docs/operations.md", "Devices")
    assert public_key in operator.run(listed)
    operator.run(by_hand)
    code = paths.REPOSITORY / "phone.svg"
    assert "<svg" in code.read_text()
    assert code.stat().st_mode & 0o077 == 0
    code.unlink()
    operator.run(revoke.replace("PUBLIC_KEY", public_key.replace("/", "_").replace("+", "-")))
    assert public_key not in operator.run(listed)

    before, tokens, pod = staging.stack.outputs()["server_public_key"], staging.tokens(), staging.pod()
    ask, rotate, new_key = console("docs/operations.md", "Rotate")
    operator.run(ask)
    operator.run(rotate)
    wait_for(lambda: staging.tokens() != tokens, "the new tokens", KUBELET_SYNC_S)
    assert [staging.tokens()[0], staging.tokens()[1]] == [tokens[1], tokens[0]], "the next one is the current one now"
    assert staging.stack.outputs()["server_public_key"] == before
    assert staging.pod() == pod
    operator.run(new_key)
    assert staging.stack.outputs()["server_public_key"] != before
    with clients.connected("new-key", staging.let_in()) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)

    backup, after_a_loss, *_ = console("docs/operations.md", "Back up")
    assert staging.stack.outputs()["server_public_key"] in operator.run(backup)
    operator.run(after_a_loss)
    for command in console("docs/operations.md", "When it breaks"):
        assert operator.run(command)


def test_after_the_loss_of_a_state_no_device_needs_a_new_config(dev: Environment) -> None:
    """As docs/operations.md has it, of a stack with a Headscale of its own."""
    _, _, init, recover, again, *_ = console("docs/operations.md", "Back up")
    assert (init, again) == ("pulumi stack init prod", "pulumi up")
    stack, settings = dev.stack, dev.stack.settings()
    before, tokens = stack.outputs(), dev.tokens()
    with clients.connected("dev", dev.let_in()) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)
        stack.state_file.unlink()
        stack.prepare(settings)
        with pytest.raises(StepError) as refused:
            stack.run("preview")
        assert "Namespace meshgate-dev is of another state of the stack dev" in str(refused.value)
        (lost,) = re.findall(recover.replace("ID", "([0-9a-f]{32})"), str(refused.value))
        stack.write(settings | {"recover": lost})
        life.up(stack)
        wait_for(lambda: lab_world.passes(client, lab_world.INTERNET[0], 2), "the device, with its old config", 30)
    assert stack.outputs() == before
    assert dev.tokens() == tokens
    stack.write(settings)
    life.assert_settled(stack)
    labels = json.loads(kube.kubectl("get", "namespace", dev.namespace, "-o", "json"))["metadata"]["labels"]
    assert labels["meshgate/stack"] != lost


def test_the_end_of_one_is_not_the_end_of_the_other(stack: Stack, dev: Environment, staging: Environment) -> None:
    with clients.connected("staging", staging.let_in()) as client:
        assert lab_world.passes(client, lab_world.INTERNET[0], 10)
        with pinging(client.inside, topology.INTERNET_IPV4) as pings:
            life.destroy(dev.stack)
    assert pings.longest_gap_s < 1
    assert dev.namespace not in kube.kubectl("get", "namespaces", "-o", "name")
    life.assert_settled(staging.stack)
    life.destroy(staging.stack)
    assert staging.namespace not in kube.kubectl("get", "namespaces", "-o", "name")
    assert "meshgate-staging" not in staging.exit_nodes()
    life.assert_whole(stack)
