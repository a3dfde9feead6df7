"""Bad input to the whole program, on the real engine, API server and Headscale: what a user reads, and what is left.

A refusal is one sentence that says what is wrong and what would be right, without a traceback or a secret. It comes in
the preview that `pulumi up` starts with, so that nothing is made: no resource, no object, no user, no key.
"""

import re
import ssl
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from kubernetes.client import ApiextensionsV1Api, AppsV1Api, CoreV1Api, StorageV1Api

from gateway.headscale import EXIT_ROUTES
from gateway.headscale.client import Headscale
from gateway.headscale.models import api_key_prefix
from gateway.headscale.policy import ALLOW_ALL
from infra.kubernetes.client import KubernetesClient
from infra.resources.connections import Connections, settings_by
from infra.resources.exit_node import ExitNodeProvider
from infra.settings.stack import StackSettings
from lab.pulumi import pulumi_host
from tests.contract.apiserver import ApiServer, api_server
from tests.contract.pulumi_engine import PASSPHRASE, STACK, Engine, Run
from tests.contract.real_headscale import RealHeadscale
from tests.deadlines import wait_for

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi, the API server and Headscale

JUNE, ORCHESTRATOR = "june-services", "june-orchestrator"
KNOWN = ", ".join(sorted(StackSettings.model_fields))
HANDED_OVER = {"meshgate/stack": STACK}
OUR_LABELS = {"app.kubernetes.io/part-of": "meshgate", "app.kubernetes.io/instance": STACK}
LOST = "5a" * 16
"""The id of another state of this stack."""
UNKNOWN_KEY = f"hskey-api-{'a' * 12}-{'b' * 64}"
NEW_KEY = (
    "`headscale apikeys create` there makes one, `pulumi config set --secret headscale_api_key` sets it; "
    "refresh and destroy heed it with --run-program."
)

Settings = dict[str, object]


@dataclass(frozen=True)
class World:
    """A cluster with June in it, a Headscale server, and a stack that is to bring them together."""

    api: ApiServer
    headscale: RealHeadscale
    api_key: str
    engine: Engine

    def settings(self, **changes: object) -> Settings:
        """Settings that work, but for these changes."""
        good: Settings = {
            "headscale": {"managed": False, "url": self.headscale.url},
            "gateways": [{"name": "one", "endpoint": "127.0.0.1:31820"}],
            "orchestrator": {"deployment": ORCHESTRATOR},
        }
        return good | changes

    def refusal(self, settings: Settings, *, api_key: str | None = None, **environment: str) -> str:
        """What `pulumi up` says of such settings, which must have changed nothing."""
        self.engine.configure(settings, api_key=api_key or self.api_key)
        return self.refused(lambda: self.engine.run("up", "--yes", **environment))

    def refused(self, run: Callable[[], Run]) -> str:
        """What a run says that must fail and change nothing: its diagnostics on one line."""
        before = self.everything()
        done = run()
        assert done.code != 0, done.text
        assert self.everything() == before
        assert "Traceback" not in done.text
        assert 'File "' not in done.text
        for secret in (self.api_key, UNKNOWN_KEY, PASSPHRASE):
            assert secret not in done.text
        return done.said

    def everything(self) -> dict[str, object]:
        """All that a run could change: the stack's resources, the cluster's objects, Headscale's users and keys."""
        cluster, deployments = core(self.api), apps(self.api)
        objects = (
            cluster.list_namespace(),
            cluster.list_secret_for_all_namespaces(),
            cluster.list_service_for_all_namespaces(),
            cluster.list_persistent_volume_claim_for_all_namespaces(),
            deployments.list_deployment_for_all_namespaces(),
        )
        with httpx.Client(headers={"Authorization": f"Bearer {self.api_key}"}) as headscale:
            urls = (f"{self.headscale.url}/api/v1/{what}" for what in ("user", "preauthkey", "node", "apikey"))
            counts = [len(next(iter(headscale.get(url).json().values()))) for url in urls]
        return {
            "stack": self.engine.resources(),
            "cluster": sorted((one.metadata.uid, one.metadata.generation) for many in objects for one in many.items),
            "headscale": counts,
        }


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("apiserver")) as server:
        storage: Any = StorageV1Api(server.api)
        storage.create_storage_class(
            {
                "metadata": {"name": "later"},
                "provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "WaitForFirstConsumer",
            }
        )
        core(server).create_namespace({"metadata": {"name": JUNE}})
        add_deployment(server, ORCHESTRATOR)
        yield server


@pytest.fixture(scope="module")
def world(api: ApiServer, headscale: RealHeadscale, api_key: str, tmp_path_factory: pytest.TempPathFactory) -> World:
    engine = Engine(tmp_path_factory.mktemp("engine"), pulumi_host.find(), api.kubeconfig)
    return World(api, headscale, api_key, engine)


def core(server: ApiServer) -> Any:  # noqa: ANN401 (the client's types know models, not manifests)
    return CoreV1Api(server.api)


def apps(server: ApiServer) -> Any:  # noqa: ANN401 (as above)
    return AppsV1Api(server.api)


def add_deployment(server: ApiServer, name: str, **env: str) -> None:
    """One that is rolled out at once, as it has no replicas."""
    labels = {"app": name}
    variables = [{"name": key, "value": value} for key, value in env.items()]
    containers = [{"name": "orchestrator", "image": "orchestrator", "env": variables}]
    template = {"metadata": {"labels": labels}, "spec": {"containers": containers}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    apps(server).create_namespaced_deployment(JUNE, {"metadata": {"name": name}, "spec": spec})


# The stack itself


def test_a_wrong_passphrase(world: World) -> None:
    wrong = {"PULUMI_CONFIG_PASSPHRASE_FILE": "", "PULUMI_CONFIG_PASSPHRASE": "the wrong one"}
    said = world.refusal(world.settings(), **wrong)
    assert said == "error: getting stack configuration: get stack secrets manager: incorrect passphrase"


def test_bad_settings_are_all_told_at_once(world: World) -> None:
    gateway = {"name": "one", "endpoint": "vpn.example.com", "mtu": 9000, "client_networks": ["100.64.0.0/24"]}
    said = world.refusal(world.settings(gateways=[gateway], namespaces="other", recover="the old one"))
    for sentence in (
        f"meshgate:namespaces: there is no such setting; known here are {KNOWN}.",
        "meshgate:recover: 'the old one' is not a stack's id of 32 hexadecimal digits; `pulumi preview` tells which it "
        "is.",
        "meshgate:gateways[0].endpoint: 'vpn.example.com' is not host:port with a port from 1 to 65535, such as "
        "vpn.example.com:31820.",
        "meshgate:gateways[0].mtu: 9000 cannot be used: it should be less than or equal to 1420.",
        "meshgate:gateways[0].client_networks[0]: 100.64.0.0/24 lies inside 100.64.0.0/10, whose addresses tailscaled "
        "drops; use for example 10.77.0.0/16.",
    ):
        assert sentence in said


def test_an_api_key_in_clear_text(world: World) -> None:
    world.engine.configure(world.settings(headscale_api_key=UNKNOWN_KEY))
    said = world.refused(lambda: world.engine.run("up", "--yes"))
    assert (
        "meshgate:headscale_api_key: it is set in clear text; use `pulumi config set --secret headscale_api_key`."
        in said
    )


# Headscale


@contextmanager
def answering(status: int, body: str, certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """The URL of a server that answers so to every request; with a certificate, by TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_headscale_that_is_down(world: World) -> None:
    said = world.refusal(world.settings(headscale={"managed": False, "url": "http://127.0.0.1:1"}))
    assert (
        "resource 'user' has a problem: Headscale at http://127.0.0.1:1 cannot be reached: [Errno 111] Connection "
        "refused; check that it runs and that this is its URL." in said
    )


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (500, '{"code": 2, "message": "database is locked", "details": []}', "says: database is locked (500)."),
        (
            200,
            "<html><title>Welcome</title></html>",
            "gave an answer that is not Headscale's (200: <html><title>Welcome</title></html>); "
            "check that the URL leads to Headscale itself.",
        ),
    ],
)
def test_a_headscale_that_answers_otherwise(world: World, status: int, body: str, says: str) -> None:
    with answering(status, body) as url:
        said = world.refusal(world.settings(headscale={"managed": False, "url": url}))
    assert f"resource 'user' has a problem: Headscale at {url} {says}" in said


def test_a_headscale_of_a_ca_that_nobody_gave(world: World) -> None:
    theirs, another = trustme.CA(), trustme.CA()
    with answering(200, "{}", theirs.issue_cert("127.0.0.1")) as url:
        headscale = {"managed": False, "url": url, "ca_certificate": another.cert_pem.bytes().decode()}
        said = world.refusal(world.settings(headscale=headscale))
    assert f"Headscale at {url} cannot be reached: its certificate is not of a trusted CA" in said
    assert "; give that CA's as ca_certificate." in said


def test_an_api_key_that_has_expired(world: World) -> None:
    expired = world.headscale.new_api_key(datetime.now(UTC) + timedelta(seconds=2))
    time.sleep(2)
    said = world.refusal(world.settings(), api_key=expired)
    assert expired not in said
    assert (
        f"Headscale at {world.headscale.url} does not accept the API key (401): it is unknown, expired or deleted. "
        f"{NEW_KEY}" in said
    )


def test_a_policy_that_shuts_the_gateway_out_is_told_in_the_preview(world: World) -> None:
    world.engine.configure(world.settings(), api_key=world.api_key)
    with Headscale(world.headscale.url, world.api_key) as headscale:
        headscale.set_policy('{"acls": []}')
        shut_out = world.engine.run("preview")
        headscale.set_policy(ALLOW_ALL)
    assert shut_out.code == 0, shut_out.text
    assert "warning: Headscale's policy lets gateway meshgate-one reach nothing in the mesh" in shut_out.said
    assert "Headscale's policy" not in world.engine.run("preview").text


def test_a_policy_that_headscale_does_not_take(world: World) -> None:
    policy = {"acls": [{"action": "accept", "src": ["tag:nobodys"], "dst": ["*:*"]}]}
    said = world.refusal(world.settings(headscale={"managed": False, "url": world.headscale.url, "policy": policy}))
    assert f"headscale.policy cannot be used: Headscale at {world.headscale.url} says: " in said


# The cluster


def test_monitoring_in_a_cluster_without_the_prometheus_operator(world: World) -> None:
    gateway = {"name": "one", "endpoint": "127.0.0.1:31820", "monitoring": {"namespace": "monitoring", "alerts": True}}
    said = world.refusal(world.settings(gateways=[gateway]))
    sentence = (
        "gateway one: `monitoring` needs monitoring.coreos.com/v1, which the cluster does not serve: install the "
        "Prometheus operator, or leave the setting out and scrape /metrics by other means."
    )
    assert sentence in said
    with prometheus_operators_kinds(world.api):
        preview = world.engine.run("preview")
    assert preview.code == 0, preview.text
    assert "one-monitor" in preview.text
    assert "one-alerts" in preview.text


@contextmanager
def prometheus_operators_kinds(server: ApiServer) -> Iterator[None]:
    """The cluster knows PodMonitor and PrometheusRule."""
    definitions: Any = ApiextensionsV1Api(server.api)
    group = "monitoring.coreos.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    plurals = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
    for kind, plural in plurals.items():
        version = {"name": "v1", "served": True, "storage": True, "schema": schema}
        names = {"kind": kind, "plural": plural, "singular": kind.lower()}
        spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
        definitions.create_custom_resource_definition({"metadata": {"name": f"{plural}.{group}"}, "spec": spec})
    with KubernetesClient(None, str(server.kubeconfig)) as cluster:
        wait_for(lambda: cluster.get(f"/apis/{group}/v1"), "the kinds")
    yield
    for plural in plurals.values():
        definitions.delete_custom_resource_definition(f"{plural}.{group}")


def test_a_cluster_that_is_down(world: World, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(re.sub(r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:1", world.api.kubeconfig.read_text()))
    said = world.refusal(world.settings(), KUBECONFIG=str(kubeconfig))
    assert "The cluster at https://127.0.0.1:1 cannot be reached: " in said
    assert "Connection refused; set KUBECONFIG to a kubeconfig that works, and `cluster.context` to one of its " in said


def test_a_namespace_of_somebody_else(world: World) -> None:
    core(world.api).create_namespace({"metadata": {"name": "payments"}})
    said = world.refusal(world.settings(namespace="payments"))
    assert (
        "Namespace payments exists and is not this stack's, whose `pulumi destroy` would delete it; use it as it is "
        "(`create_namespace: false`), set `namespace` to another name, or hand it over: "
        f"`kubectl label --overwrite namespace payments meshgate/stack={STACK}`." in said
    )


def test_a_namespace_that_should_be_there_and_is_not(world: World) -> None:
    said = world.refusal(world.settings(namespace="nowhere", create_namespace=False))
    assert (
        "Namespace nowhere does not exist; make it (`kubectl create namespace nowhere`), or leave `create_namespace` "
        "out, so that the stack makes it." in said
    )


def test_a_namespace_that_lets_no_gateway_in(world: World) -> None:
    label = "pod-security.kubernetes.io/enforce"
    core(world.api).create_namespace({"metadata": {"name": "strict", "labels": {label: "baseline"}}})
    said = world.refusal(world.settings(namespace="strict", create_namespace=False))
    assert f"Namespace strict does not let the stack's pods in: its label {label} is baseline, and they need " in said


def test_objects_of_somebody_else_in_their_namespace(world: World) -> None:
    """A managed Headscale where June has hers, and a gateway where another stack has one of that name."""
    core(world.api).create_namespace({"metadata": {"name": "shared"}})
    theirs = {"metadata": {"name": "headscale"}}
    core(world.api).create_namespaced_config_map("shared", theirs)
    core(world.api).create_namespaced_secret("shared", {"metadata": {"name": "headscale-api-key"}})
    labels = {**OUR_LABELS, "app.kubernetes.io/instance": "one", "meshgate/stack": LOST}
    core(world.api).create_namespaced_service(
        "shared", {"metadata": {"name": "meshgate-one-peers", "labels": labels}, "spec": {"ports": [{"port": 8080}]}}
    )
    managed = {"managed": True, "url": "https://headscale.example.com", "node_port": 30080}
    world.engine.configure(world.settings(namespace="shared", create_namespace=False, headscale=managed))
    said = world.refused(lambda: world.engine.run("up", "--yes", "--continue-on-error"))
    assert (
        "ConfigMap shared/headscale exists and is not this stack's, whose `pulumi destroy` would delete it; set "
        "`namespace` to another one, remove it, or hand it over: "
        f"`kubectl label --overwrite -n shared configmap headscale meshgate/stack={STACK}`." in said
    )
    said = world.refusal(world.settings(namespace="shared", create_namespace=False))
    assert (
        "Service shared/meshgate-one-peers is of another stack, or of another state of this one: set `namespace` to "
        "another one, or, if that state is lost, take all of it over with its keys: "
        f"`pulumi config set recover {LOST}`." in said
    )


def test_a_namespace_of_others_is_after_a_stack_what_it_was_before(world: World, tmp_path: Path) -> None:
    """Used, then given up by the settings alone, and only then destroyed: the namespace stays in any case."""
    name = "kept"
    core(world.api).create_namespace({"metadata": {"name": name, "labels": {"team": "june"}}})
    core(world.api).create_namespaced_secret(name, {"metadata": {"name": "theirs"}})
    engine = Engine(tmp_path, pulumi_host.find(), world.api.kubeconfig)
    stack = World(world.api, world.headscale, world.api_key, engine)
    before, metadata = stack.everything(), core(world.api).read_namespace(name).metadata
    gateway = {"name": "kept", "endpoint": "127.0.0.1:31840", "storage_class": "later", "registration_deadline": 10}
    settings = world.settings(namespace=name, create_namespace=False, gateways=[gateway], orchestrator={})
    engine.configure(settings, api_key=world.api_key)
    with kubelet(world.api, name):
        engine.run("up", "--yes")  # nobody joins here
    assert "meshgate-kept" in [one.metadata.name for one in apps(world.api).list_namespaced_deployment(name).items]

    engine.configure(settings | {"create_namespace": True}, api_key=world.api_key)
    assert f"Namespace {name} exists and is not this stack's" in stack.refused(lambda: engine.run("up", "--yes"))
    destroy = engine.run("destroy", "--yes")
    assert destroy.code == 0, destroy.text
    assert stack.everything() == before
    assert core(world.api).read_namespace(name).metadata == metadata


def test_a_namespace_that_the_stack_made_is_not_given_up_in_passing(world: World, tmp_path: Path) -> None:
    """The next `up` would delete it, and all that is in it."""
    engine = Engine(tmp_path, pulumi_host.find(), world.api.kubeconfig)
    stack = World(world.api, world.headscale, world.api_key, engine)
    gateway = {"name": "made", "endpoint": "127.0.0.1:31850", "storage_class": "later", "registration_deadline": 10}
    settings = world.settings(namespace="made", gateways=[gateway], orchestrator={})
    engine.configure(settings, api_key=world.api_key)
    with kubelet(world.api, "made"):
        engine.run("up", "--yes")  # as above
    engine.configure(settings | {"create_namespace": False}, api_key=world.api_key)
    said = stack.refused(lambda: engine.run("up", "--yes"))
    assert (
        "Namespace made was made by a stack and goes with it, as its label meshgate/stack says; if it is this " in said
    )
    destroy = engine.run("destroy", "--yes")
    assert destroy.code == 0, destroy.text


def test_another_state_of_the_same_stack(world: World) -> None:
    """A colleague with the committed stack file and another backend, or a state that is lost."""
    labels = {**OUR_LABELS, "meshgate/stack": LOST}
    core(world.api).create_namespace({"metadata": {"name": "living", "labels": labels}})
    said = world.refusal(world.settings(namespace="living"))
    assert (
        f"Namespace living is of another state of the stack {STACK}: log in where that state lies, or, if it is lost, "
        f"take all of it over with its keys: `pulumi config set recover {LOST}`." in said
    )
    assert "living" in world.refusal(world.settings(namespace="living", recover="1b" * 16)), "another one's id"


def test_a_secret_of_somebody_else_in_junes_namespace(world: World) -> None:
    cluster = core(world.api)
    cluster.create_namespaced_secret(
        JUNE, {"metadata": {"name": "meshgate-gateway"}, "stringData": {"token": "theirs"}}
    )
    said = world.refusal(world.settings())
    cluster.delete_namespaced_secret("meshgate-gateway", JUNE)
    assert f"Secret {JUNE}/meshgate-gateway exists and is not this stack's" in said
    assert f"; remove it, or hand it over: `kubectl label --overwrite -n {JUNE} secret meshgate-gateway " in said


# June


def test_an_orchestrator_that_is_not_there(world: World) -> None:
    said = world.refusal(world.settings(orchestrator={"deployment": "june"}))
    assert (
        f"Deployment {JUNE}/june does not exist; set orchestrator.namespace and orchestrator.deployment to the one "
        "that hands out WireGuard configs, or leave `orchestrator` out." in said
    )


def test_a_container_that_is_not_there(world: World) -> None:
    said = world.refusal(world.settings(orchestrator={"deployment": ORCHESTRATOR, "container": "main"}))
    assert (
        f"Deployment {JUNE}/{ORCHESTRATOR} has no container 'main' but orchestrator; set orchestrator.container to one "
        "of them." in said
    )


def test_a_variable_that_somebody_else_has_set(world: World) -> None:
    add_deployment(world.api, "edited", HEADSCALE_SERVER_ENDPOINT="192.0.2.1:1", HEADSCALE_SERVER_PUBLIC_KEY="theirs")
    said = world.refusal(world.settings(orchestrator={"deployment": "edited"}))
    assert (
        f"Container orchestrator of Deployment {JUNE}/edited already has HEADSCALE_SERVER_ENDPOINT, "
        "HEADSCALE_SERVER_PUBLIC_KEY with another value, set by somebody else; remove it there (its chart or "
        "manifest), so that it can be set here." in said
    )


# What only shows once the gateway runs


def test_a_gateway_that_never_registers_and_a_key_that_dies_meanwhile(world: World, tmp_path: Path) -> None:
    """June is left alone, and all can be taken back. The namespace is there already, from a run that was killed."""
    namespace = "of-a-killed-run"
    engine = Engine(tmp_path, pulumi_host.find(), world.api.kubeconfig)
    stack = World(world.api, world.headscale, world.api_key, engine)
    dying = world.headscale.new_api_key(datetime.now(UTC) + timedelta(hours=1))
    before = stack.everything()
    core(world.api).create_namespace({"metadata": {"name": namespace, "labels": HANDED_OVER}})
    gateway = {"name": "one", "endpoint": "127.0.0.1:31820", "storage_class": "later", "registration_deadline": 10}
    settings = world.settings(namespace=namespace, gateways=[gateway])

    engine.configure(settings, api_key=dying)
    with kubelet(world.api, namespace):
        up = engine.run("up", "--yes")
    assert up.code != 0
    assert re.search(
        f"Gateway meshgate-one is no exit node of {world.headscale.url} after 10 s: nobody has used its pre-auth key "
        r"\d+ yet, so tailscaled did not reach Headscale\. The log of container tailscale of Deployment "
        f"{namespace}/meshgate-one is empty: see `kubectl -n {namespace} describe deployment meshgate-one`",
        up.said,
    )
    assert "Traceback" not in up.text
    orchestrator = apps(world.api).read_namespaced_deployment(ORCHESTRATOR, JUNE)
    assert not orchestrator.spec.template.spec.containers[0].env

    with Headscale(world.headscale.url, world.api_key) as headscale:
        headscale.expire_api_key(api_key_prefix(dying))
    engine.configure(settings, api_key=world.api_key)
    # Pulumi's own way: without --run-program it takes the config of the last run.
    said = stack.refused(lambda: engine.run("refresh", "--yes"))
    assert f"does not accept the API key (401): it is unknown, expired or deleted. {NEW_KEY}" in said
    destroy = engine.run("destroy", "--yes", "--run-program")
    assert destroy.code == 0, destroy.text
    assert stack.everything() == before


def test_each_gateway_of_several_has_its_names_by_itself(world: World, tmp_path: Path) -> None:
    """One never joins, then it does, and then it is ill. Nobody else's names wait for it, nor are its own lost."""
    namespace = "several"
    engine = Engine(tmp_path, pulumi_host.find(), world.api.kubeconfig)
    stack = World(world.api, world.headscale, world.api_key, engine)
    gateways = [
        {"name": name, "endpoint": f"127.0.0.1:{port}", "client_networks": [network], "storage_class": "later"}
        | {"registration_deadline": 10}
        for name, port, network in (("late", 31860, "10.86.0.0/16"), ("well", 31861, "10.87.0.0/16"))
    ]
    add_deployment(world.api, "of-several")
    before = stack.everything()
    settings = world.settings(namespace=namespace, gateways=gateways, orchestrator={"deployment": "of-several"})
    engine.configure(settings, api_key=world.api_key)

    with kubelet(world.api, namespace, ready=True), ThreadPoolExecutor(1) as pool:
        up = pool.submit(engine.run, "up", "--yes")
        join(world, namespace, "meshgate-well")
    failed = up.result()
    assert failed.code != 0
    assert re.search(
        r"meshgate:Verdict \(gateways\): error: .* Gateway meshgate-late is no exit node of "
        rf"{world.headscale.url} after 10 s: nobody has used its pre-auth key \d+ yet",
        failed.said,
    )
    assert "Gateway meshgate-well" not in failed.said
    assert env_of(world, "of-several").get("GATEWAYS") == "well"
    assert not [name for name in env_of(world, "of-several") if name.startswith(("GATEWAY_LATE", "HEADSCALE_"))]

    join(world, namespace, "meshgate-late")
    preview = engine.run("preview")
    assert re.search("~ .*:ExitNode late-exit-node update", preview.text), preview.text
    assert "well-exit-node" not in preview.text
    repaired = engine.run("up", "--yes", "--parallel", "100")
    assert repaired.code == 0, repaired.text
    told = env_of(world, "of-several")
    assert (told["GATEWAYS"], told["HEADSCALE_SERVER_ENDPOINT"]) == ("late,well", "127.0.0.1:31860")
    assert engine.outputs()["exit_node"]["id"]
    assert engine.run("preview", "--expect-no-changes").code == 0

    ill = gateways[0] | {"wireguard": "userspace"}
    engine.configure(settings | {"gateways": [ill, gateways[1]]}, api_key=world.api_key)
    assert not re.search("WorkloadEnv|Standing|Verdict", engine.run("preview").text), "they do not change"
    with kubelet(world.api, namespace):
        up_again = engine.run("up", "--yes")
    assert up_again.code != 0
    assert f"Deployment {namespace}/meshgate-late is not ready 10 s after its start: " in up_again.said
    assert env_of(world, "of-several") == told

    core(world.api).delete_collection_namespaced_pod(namespace, label_selector="app.kubernetes.io/instance=late")
    with kubelet(world.api, namespace, ready=True):
        well = engine.run("up", "--yes")
    assert well.code == 0, well.text
    assert engine.run("preview", "--expect-no-changes").code == 0
    assert env_of(world, "of-several") == told
    assert engine.run("destroy", "--yes").code == 0
    after = stack.everything()
    assert (after["stack"], after["headscale"]) == (before["stack"], before["headscale"])


def join(world: World, namespace: str, name: str) -> None:
    """In the place of a gateway's pod: a tailscaled joins by the key in its Secret, as soon as that is there."""

    def found() -> dict[str, str] | None:
        secrets = core(world.api).list_secret_for_all_namespaces(field_selector=f"metadata.name={name}").items
        return next((one.data for one in secrets if one.metadata.namespace == namespace), None)

    wait_for(lambda: found() is not None, "the gateway's Secret", within=90)
    key = b64decode((found() or {})["pre-auth-key"]).decode()
    world.headscale.join(key, name, EXIT_ROUTES)


def env_of(world: World, deployment: str) -> dict[str, str]:
    """What the orchestrator of that name is told."""
    found = apps(world.api).read_namespaced_deployment(deployment, JUNE)
    return {one.name: one.value for one in found.spec.template.spec.containers[0].env or []}


def test_there_is_a_way_out_of_what_is_gone_for_good(world: World, tmp_path: Path) -> None:
    """Neither Headscale nor the cluster is there any more."""
    namespace = "gone"
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(world.api.kubeconfig.read_text())
    engine = Engine(tmp_path, pulumi_host.find(), kubeconfig)
    dying = world.headscale.new_api_key(datetime.now(UTC) + timedelta(hours=1))
    gateway = {"name": "gone", "endpoint": "127.0.0.1:31830", "storage_class": "later", "registration_deadline": 10}
    engine.configure(world.settings(namespace=namespace, gateways=[gateway]), api_key=dying)
    core(world.api).create_namespace({"metadata": {"name": namespace, "labels": HANDED_OVER}})
    with kubelet(world.api, namespace):
        up = engine.run("up", "--yes")
    assert "Gateway meshgate-gone is no exit node" in up.said
    with Headscale(world.headscale.url, world.api_key) as headscale:
        headscale.expire_api_key(api_key_prefix(dying))
    refused = engine.run("destroy", "--yes")
    assert refused.code != 0
    assert (
        "If it is gone for good: `MESHGATE_GONE=headscale pulumi destroy` passes over what was there." in refused.said
    )
    kubeconfig.write_text(re.sub(r"https://127\.0\.0\.1:\d+", "https://127.0.0.1:1", kubeconfig.read_text()))
    done = engine.run("destroy", "--yes", MESHGATE_GONE="headscale,cluster", PULUMI_K8S_DELETE_UNREACHABLE="true")
    assert done.code == 0, done.text
    assert not engine.resources()
    assert (
        f"meshgate-{STACK} was not removed: Headscale at {world.headscale.url} does not accept the API key" in done.said
    )

    core(world.api).delete_namespace(namespace)
    with Headscale(world.headscale.url, world.api_key) as headscale:
        headscale.delete_user(headscale.user(f"meshgate-{STACK}"))


@contextmanager
def kubelet(server: ApiServer, namespace: str, *, ready: bool = False) -> Iterator[None]:
    """Says of each pod of the namespace that its containers run, which none does.

    They are `ready` only in a test that runs a tailscaled in the place of each gateway's.
    """
    done = threading.Event()

    def work() -> None:
        cluster = core(server)
        while not done.wait(0.2):
            for pod in cluster.list_namespaced_pod(namespace, field_selector="status.phase=Pending").items:
                state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
                about = {"ready": ready, "restartCount": 0, "imageID": "", "state": state}
                statuses = [{"name": one.name, "image": one.image, **about} for one in pod.spec.containers]
                conditions = [
                    {"type": "Ready", "status": str(ready), "lastTransitionTime": state["running"]["startedAt"]}
                ]
                status = {"phase": "Running", "containerStatuses": statuses, "conditions": conditions}
                cluster.patch_namespaced_pod_status(pod.metadata.name, namespace, {"status": status})

    thread = threading.Thread(target=work)
    thread.start()
    yield
    done.set()
    thread.join()


def test_a_pre_auth_key_that_is_used_up(world: World) -> None:
    """By a node that was deleted since: on a real server, with a real tailscaled."""
    with Headscale(world.headscale.url, world.api_key) as headscale:
        user = headscale.ensure_user("used-up")
        key = headscale.create_pre_auth_key(user, expiration=datetime.now(UTC) + timedelta(hours=1))
        world.headscale.join(key.key.get_secret_value(), "gone", EXIT_ROUTES)
        headscale.delete_node(next(node.id for node in headscale.nodes() if node.pre_auth_key_id == key.id))
    provider = ExitNodeProvider()
    settings = world.settings() | {"headscale_api_key": world.api_key}
    connections = Connections(settings_by(settings.get))
    connections.cluster = KubernetesClient(None, str(world.api.kubeconfig))
    provider.connect = lambda: connections
    props = {"server": world.headscale.url, "pre_auth_key_id": key.id, "user": user.name, "hostname": "gone"}
    workload = {"namespace": JUNE, "deployment": ORCHESTRATOR, "container": "orchestrator", "deadline_seconds": 0}
    with kubelet(world.api, JUNE):
        made = provider.create(props | workload).outs or {}
    assert made["why"].splitlines()[0] == (
        f"Gateway gone is no exit node of {world.headscale.url} after 0 s: its pre-auth key {key.id} was used up by a "
        "node that is gone; `pulumi up --refresh` makes a new one."
    )
