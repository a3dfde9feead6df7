"""What the program declares, seen through Pulumi's mocks: the pods' privileges, the ways of keys, the pinned types."""

import gc
import hashlib
import json
import runpy
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pytest
import trustme
import yaml
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import resource
from pulumi.runtime.mocks import MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.proto.source_pb2 import StackTrace
from pulumi.runtime.settings import ROOT, SETTINGS
from pulumi.runtime.stack import run_in_stack

from gateway.agent import settings as agent
from gateway.agent import settings_loading
from gateway.agent.live_settings import LiveSettings
from gateway.agent.protocols.wireguard.interface_process import InterfaceSettings
from infra import curve25519
from infra.resources.connections import API_KEY_SECRET
from infra.settings import object_names
from infra.settings.loading import load
from infra.settings.section import is_text
from infra.settings.stack import StackSettings
from infra.settings.value_types import MESH_NETWORKS
from tests.certificates import CA
from tests.unit.agent.fakes import SERVER_KEY

# The SDK's mock monitor makes an event loop in each of its threads and closes none.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PROGRAM = Path(__file__).parents[2] / "__main__.py"
CONFIG: dict[str, Any] = {
    "headscale": {"managed": True, "url": "https://headscale.example.com"},
    "gateways": [{"name": "one", "endpoint": "vpn.example.com:31820"}],
    "orchestrator": {"deployment": "june-orchestrator"},
}
SECRET_SETTINGS = ("headscale_api_key", "headscale_ingress_key")
JUNE: dict[str, Any] = CONFIG["orchestrator"]
EDGE: dict[str, Any] = {
    "name": "edge-1",
    "endpoint": "edge.example.com:51820",
    "target": "metal",
    "peers_url": "http://10.0.0.5:8080",
    "client_networks": ["10.78.0.0/16"],
}
EXISTING: dict[str, Any] = {
    "headscale": {"managed": False, "url": "https://headscale.example.com"},
    "headscale_api_key": "an existing one",
}
LEARNED: dict[str, dict[str, Any]] = {
    # By type, or by name.
    "StackId": {"value": "1f" * 16},
    "WireGuardKey": {
        "private_key": "the private key",
        "public_key": "the public key",
        "previous_private_key": "the key before",
        "previous_public_key": "the public key before",
    },
    "Token": {"value": "the token", "previous": "", "next": "the next token", "admin": "the admin token"},
    "PreAuthKey": {"key": "the pre-auth key"},
    "ExitNode": {"node_id": "7", "why": ""},
    "Readiness": {"ready": True, "why": "", "stood": True},
    "CertificateAuthority": {"certificate": "the CA\n", "key": "the CA's key"},
    "IssuingCertificate": {"chain": "the issuer\nthe CA\n", "key": "the issuing key"},
}
SECRET, SIGNED = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""The SDK's mark of a secret value."""
SECRETS = (
    *("the private key", "the key before", "the token", "the next token", "the admin token", "the pre-auth key"),
    *("the CA's key", "the issuing key"),
)
OPENVPN: dict[str, Any] = {
    "access": ["wireguard", "openvpn"],
    "openvpn": {"udp_port": 31194, "tcp_port": 31443},
}
TOKEN_KEY = f"token-{hashlib.sha256(b'the token').hexdigest()[:16]}"

Declared = dict[str, MockResourceArgs]


class Recorder(Mocks):
    """Answers every registration with its inputs, and what our own resources would learn."""

    def __init__(self) -> None:
        self.declared: Declared = {}

    def call(self, args: object) -> tuple[dict[str, object], None]:
        raise AssertionError("the program calls no function of a provider")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        key = f"{args.typ}::{args.name}"
        assert key not in self.declared  # the engine would refuse it as well
        self.declared[key] = args
        return f"{args.name}-id", {**args.inputs, **self._learned(args)}

    def _learned(self, args: MockResourceArgs) -> dict[str, Any]:
        kind = args.typ.split(":")[-1]
        if kind == "Standing":
            return {"names": [name for name, stood in args.inputs["stood"].items() if stood]}
        return LEARNED.get(kind, {}) | LEARNED.get(args.name, {})


class Monitor(MockMonitor):
    """Keeps the outputs of the stack itself."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.outputs: dict[str, Any] = {}
        self.looked_at: set[str] = set()
        """The resources whose creation somebody else's object would make fail."""

    def RegisterResource(self, request: Any) -> object:  # noqa: ANN401, N802 (the protocol's)
        if {"ownership", API_KEY_SECRET} & set(request.hooks.before_create):
            self.looked_at.add(f"{request.type}::{request.name}")
        answer: object = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        return answer

    def RegisterResourceOutputs(self, request: Any) -> object:  # noqa: ANN401, N802 (the protocol's)
        # The SDK registers the stack twice, before its outputs are known and after, and either may come first.
        if "::pulumi:pulumi:Stack::" in request.urn:
            self.outputs |= MessageToDict(request.outputs)
        answer: object = super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]
        return answer


async def observe(
    *, secrets: Sequence[str] = SECRET_SETTINGS, **config: object
) -> tuple[Declared, dict[str, Any], set[str]]:
    """Run the program with these settings changed; what it declares, its outputs, and what of it is looked at first."""
    recorder = Recorder()
    monitor = Monitor(recorder)
    set_mocks(recorder, project="meshgate", stack="test", preview=False, monitor=monitor)
    ROOT.set(None)
    values = {
        f"meshgate:{key}": str(value) if is_text(StackSettings, key) else json.dumps(value)
        for key, value in (CONFIG | config).items()
    }
    pulumi.runtime.set_all_config(values, [f"meshgate:{key}" for key in secrets])
    SETTINGS.rpc_manager.clear()
    SETTINGS.outputs.clear()
    await run_in_stack(_run_program)
    return recorder.declared, monitor.outputs, monitor.looked_at


async def run(*, secrets: Sequence[str] = SECRET_SETTINGS, **config: object) -> tuple[Declared, dict[str, Any]]:
    return (await observe(secrets=secrets, **config))[:2]


async def declare(*, secrets: Sequence[str] = SECRET_SETTINGS, **config: object) -> Declared:
    return (await run(secrets=secrets, **config))[0]


def _run_program() -> None:
    runpy.run_path(str(PROGRAM), run_name="__main__")


@pytest.fixture(autouse=True)
def _without_stack_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK notes each resource's stack, of which most is pytest's, and here nobody reads it."""
    monkeypatch.setattr(resource, "_get_stack_trace", StackTrace)


@pytest.fixture(autouse=True, scope="module")
def sdks_event_loops() -> Iterator[None]:
    """Collect them here, where it is known whose they are, and at no other time."""
    gc.disable()
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    gc.enable()


def one(declared: Declared, kind: str, name: str) -> dict[str, Any]:
    found = [args.inputs for key, args in declared.items() if key.endswith(f":{kind}::{name}")]
    assert len(found) == 1, sorted(declared)
    return dict(found[0])


def gateway_pod(declared: Declared) -> dict[str, Any]:
    return dict(one(declared, "Deployment", "one-gateway")["spec"]["template"]["spec"])


async def test_types_and_names_are_part_of_every_users_state() -> None:
    assert sorted(await declare()) == [
        "kubernetes:apps/v1:Deployment::one-gateway",
        "kubernetes:apps/v1:Deployment::server",
        "kubernetes:core/v1:ConfigMap::config",
        "kubernetes:core/v1:ConfigMap::one-config",
        "kubernetes:core/v1:Namespace::namespace",
        "kubernetes:core/v1:PersistentVolumeClaim::one-state",
        "kubernetes:core/v1:PersistentVolumeClaim::state",
        "kubernetes:core/v1:Secret::one-identity",
        "kubernetes:core/v1:Secret::token",
        "kubernetes:core/v1:Service::http",
        "kubernetes:core/v1:Service::one-peers",
        "kubernetes:core/v1:Service::one-wireguard",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy::one-policy",
        "meshgate:access:Gateway::one",
        "meshgate:components:Cluster::cluster",
        "meshgate:components:GatewayWorkload::one",
        "meshgate:components:HeadscaleServer::headscale",
        "meshgate:components:OrchestratorEnv::orchestrator",
        "pulumi-python:dynamic/meshgate:ClientConfigs::client-configs",
        "pulumi-python:dynamic/meshgate:ExitNode::one-exit-node",
        "pulumi-python:dynamic/meshgate:HeadscaleApiKey::api-key",
        "pulumi-python:dynamic/meshgate:HeadscaleUser::user",
        "pulumi-python:dynamic/meshgate:PreAuthKey::one-pre-auth-key",
        "pulumi-python:dynamic/meshgate:Readiness::one-ready",
        "pulumi-python:dynamic/meshgate:Readiness::server-ready",
        "pulumi-python:dynamic/meshgate:StackId::id",
        "pulumi-python:dynamic/meshgate:Standing::standing",
        "pulumi-python:dynamic/meshgate:Token::one-token",
        "pulumi-python:dynamic/meshgate:Verdict::gateways",
        "pulumi-python:dynamic/meshgate:WireGuardKey::one-key",
        "pulumi-python:dynamic/meshgate:WorkloadEnv::env",
        "pulumi:providers:kubernetes::kubernetes",
    ]


async def test_in_a_namespace_of_others_everything_is_looked_at_before_it_is_made() -> None:
    """And the namespace is none of the stack's resources, so that nobody changes or deletes it."""
    gateways = [CONFIG["gateways"][0] | WATCHED]
    declared, _, looked_at = await observe(create_namespace=False, access=["mesh"], gateways=gateways)
    assert "kubernetes:core/v1:Namespace::namespace" not in declared
    existing = one(declared, "ExistingNamespace", "namespace")
    assert (existing["namespace"], existing["standard"]) == ("headscale", "privileged")
    objects = {key for key in declared if key.startswith("kubernetes:")}
    assert looked_at == {*objects, "pulumi-python:dynamic/meshgate:HeadscaleApiKey::api-key"}
    namespaces = {declared[key].inputs["metadata"]["namespace"] for key in objects}
    assert namespaces == {"headscale", "june-services"}


async def test_in_its_own_namespace_nothing_is_somebody_elses() -> None:
    _, _, looked_at = await observe()
    assert looked_at == {"kubernetes:core/v1:Namespace::namespace", "kubernetes:core/v1:Secret::token"}


async def test_no_selector_finds_the_pods_of_others_in_the_namespace() -> None:
    """Theirs may be called gateway, headscale or keys as well."""
    declared = await declare(access=["mesh"])
    selectors = [
        selector
        for args in declared.values()
        if args.typ.startswith("kubernetes:") and (spec := args.inputs.get("spec"))
        for selector in (spec.get("selector"), spec.get("podSelector"))
        if selector
    ]
    assert len(selectors) == 9
    for selector in selectors:
        assert selector.get("matchLabels", selector)["app.kubernetes.io/part-of"] == "meshgate"


async def test_the_settings_know_the_name_of_every_object() -> None:
    config: dict[str, Any] = {
        "headscale": CONFIG["headscale"]
        | {"ca_certificate": CA, "stun_node_port": 30478, "ingress": {"tls_secret": "tls"}},
        "access": ["mesh"],
        "gateways": [
            CONFIG["gateways"][0] | OPENVPN | {"monitoring": {"namespace": "monitoring", "alerts": True}},
            EDGE,
            {
                "name": "two",
                "endpoint": "b.example.com:31821",
                "exposure": "HostPort",
                "client_networks": ["10.79.0.0/16"],
            },
        ],
    }
    declared = [args.inputs for args in (await declare(**config)).values() if args.typ.startswith("kubernetes:")]
    found = [
        (inputs["kind"], inputs["metadata"]["namespace"], inputs["metadata"]["name"])
        for inputs in declared
        if "namespace" in inputs["metadata"]
    ]
    assert len(found) == len(set(found))
    values = CONFIG | config
    settings = load(values.get)
    known = {(one.kind, one.namespace, one.name) for one in object_names.made(settings)}
    others = {("Secret", settings.namespace, "tls"), ("Deployment", "june-services", "june-orchestrator")}
    by_the_provider = {("Secret", settings.namespace, "headscale-api-key")}
    assert known - others - by_the_provider == set(found)


async def test_every_container_of_the_gateway_has_net_admin_and_nothing_more() -> None:
    pod = gateway_pod(await declare())
    assert [container["name"] for container in pod["containers"]] == ["tailscale", "wireguard", "agent"]
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
        assert (context["privileged"], context["allowPrivilegeEscalation"]) == (False, False)
        assert context["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


async def test_openvpn_is_a_container_of_its_own_that_never_sees_the_issuing_key() -> None:
    declared, outputs = await run(gateways=[CONFIG["gateways"][0] | OPENVPN])
    pod = gateway_pod(declared)
    assert [container["name"] for container in pod["containers"]] == ["tailscale", "wireguard", "openvpn", "agent"]
    openvpn, agent = pod["containers"][2:]
    assert openvpn["securityContext"] == pod["containers"][0]["securityContext"]
    assert openvpn["ports"] == [
        {"name": "openvpn-udp", "containerPort": 1194, "protocol": "UDP"},
        {"name": "openvpn-tcp", "containerPort": 1194, "protocol": "TCP"},
    ]
    assert {mount["name"] for mount in openvpn["volumeMounts"]} == {"tun", "openvpn"}
    assert "openvpn" in {mount["name"] for mount in agent["volumeMounts"]}
    held = one(declared, "Secret", "one-identity")["stringData"]["value"]
    assert (held["issuing.crt"], held["issuing.key"]) == ("the issuer\nthe CA\n", "the issuing key")
    assert "the CA's key" not in json.dumps(one(declared, "Secret", "one-identity"))
    told = one(declared, "ConfigMap", "one-config")["data"]["MESHGATE_OPENVPN_ENDPOINTS"]
    assert told == "udp:vpn.example.com:31194,tcp:vpn.example.com:31443"
    assert outputs["openvpn_endpoints"] == told.split(",")
    for port in one(declared, "Service", "one-wireguard")["spec"]["ports"]:
        assert (port["port"], port["nodePort"]) == (port["port"], port["port"])
    ways = one(declared, "Service", "one-wireguard")["spec"]["ports"]
    assert [(way["port"], way["targetPort"], way["protocol"]) for way in ways] == [
        (31820, 31820, "UDP"),
        (31194, 1194, "UDP"),
        (31443, 1194, "TCP"),
    ]
    open_to_all = one(declared, "NetworkPolicy", "one-policy")["spec"]["ingress"][0]["ports"]
    assert {"port": 1194, "protocol": "TCP"} in open_to_all


ROTATED: dict[str, Any] = {
    "endpoint": "vpn.example.com:31821",
    "key_rotation": "2027",
    "previous_key": {"port": 31820, "until": "2100-01-01"},
}


async def test_a_rotated_key_has_the_one_before_it_beside_it() -> None:
    declared, outputs = await run(gateways=[CONFIG["gateways"][0] | ROTATED])
    key = one(declared, "WireGuardKey", "one-key")
    assert (key["rotation"], key["keep_previous"]) == ("2027", True)
    pod = gateway_pod(declared)
    assert [one["name"] for one in pod["containers"]] == ["tailscale", "wireguard", "wireguard-previous", "agent"]
    present, previous, agent = pod["containers"][1:]
    differ = ("name", "env", "ports")
    assert {name: present[name] for name in present if name not in differ} == {
        name: previous[name] for name in previous if name not in differ
    }
    assert previous["ports"] == [{"name": "previous-key", "containerPort": 31820, "protocol": "UDP"}]
    assert present["ports"] == [{"name": "wireguard", "containerPort": 31821, "protocol": "UDP"}]
    env = {variable["name"]: variable.get("value") for variable in agent["env"]}
    (interface,) = [one["value"] for one in previous["env"] if one["name"] == "MESHGATE_INTERFACE"]
    assert {name: value for name, value in env.items() if "PREVIOUS" in name} == {
        "MESHGATE_PREVIOUS_INTERFACE": interface,
        "MESHGATE_PREVIOUS_LISTEN_PORT": "31820",
        "MESHGATE_PREVIOUS_PUBLIC_KEY": "the public key before",
        "MESHGATE_PREVIOUS_PRIVATE_KEY_FILE": "/etc/meshgate/previous-private-key",
    }
    assert one(declared, "ConfigMap", "one-config")["data"]["MESHGATE_PREVIOUS_UNTIL"] == "2100-01-01T00:00:00+00:00"
    assert one(declared, "Secret", "one-identity")["stringData"]["value"]["previous-private-key"] == "the key before"
    items = next(volume for volume in pod["volumes"] if volume["name"] == "identity")["secret"]["items"]
    assert {"key": "previous-private-key", "path": "previous-private-key"} in items
    ports = one(declared, "Service", "one-wireguard")["spec"]["ports"]
    assert [(port["name"], port["nodePort"], port["targetPort"]) for port in ports] == [
        ("wireguard", 31821, 31821),
        ("previous-key", 31820, 31820),
    ]
    open_to_all = one(declared, "NetworkPolicy", "one-policy")["spec"]["ingress"][0]["ports"]
    assert {"port": 31820, "protocol": "UDP"} in open_to_all
    kept = {
        "public_key": "the public key before",
        "endpoint": "vpn.example.com:31820",
        "until": "2100-01-01T00:00:00+00:00",
    }
    assert outputs["previous_key"] == kept
    assert one(declared, "ClientConfigs", "client-configs")["gateways"]["one"]["previous"] == kept
    told = one(declared, "WorkloadEnv", "env")["values"]
    assert (told["HEADSCALE_SERVER_PUBLIC_KEY"], told["HEADSCALE_SERVER_ENDPOINT"]) == (
        "the public key",
        "vpn.example.com:31821",
    )


@pytest.mark.parametrize("previous", [None, {"port": 31820, "until": "2020-01-01"}], ids=["taken out", "at its time"])
async def test_the_previous_key_leaves_nothing_behind(previous: object) -> None:
    moved = CONFIG["gateways"][0] | ROTATED
    declared, outputs = await run(gateways=[moved | {"previous_key": previous}])
    assert one(declared, "WireGuardKey", "one-key")["keep_previous"] is False
    for key in ("Deployment", "Secret", "ConfigMap", "Service", "NetworkPolicy"):
        found = [json.dumps(args.inputs) for name, args in declared.items() if f":{key}::one-" in name]
        assert not [text for text in found if "31820" in text or "previous" in text.lower()], key
    assert "previous_key" not in outputs


async def test_the_end_of_the_previous_key_may_be_set_without_a_pause() -> None:
    gateway = CONFIG["gateways"][0] | ROTATED
    before = await declare(gateways=[gateway | {"previous_key": {"port": 31820}}])
    after = await declare(gateways=[gateway])
    assert one(after, "Deployment", "one-gateway") == one(before, "Deployment", "one-gateway")
    assert one(before, "ConfigMap", "one-config")["data"]["MESHGATE_PREVIOUS_UNTIL"] == ""


async def test_with_host_ports_and_limits_the_previous_key_is_as_the_present_one() -> None:
    limits = {"resources": {"wireguard": {"limits": {"memory": "4Gi"}}}}
    gateway = CONFIG["gateways"][0] | ROTATED | {"exposure": "HostPort", "pod": limits}
    present, previous = gateway_pod(await declare(gateways=[gateway]))["containers"][1:3]
    assert [one["ports"][0]["hostPort"] for one in (present, previous)] == [31821, 31820]
    assert previous["resources"] == present["resources"]
    assert previous["resources"]["limits"] == {"memory": "4Gi"}


async def test_a_rotation_that_keeps_the_key_spares_devices_with_certificates() -> None:
    declared = await declare(gateways=[CONFIG["gateways"][0] | OPENVPN | ROTATED])
    assert one(declared, "IssuingCertificate", "one-issuer")["spared"] is True


async def test_the_playbook_gets_both_keys_of_a_rotation() -> None:
    edge = EDGE | {"endpoint": "edge.example.com:51821", "previous_key": {"port": 51820, "until": "2100-01-01"}}
    _, outputs = await run(gateways=[edge], **EXISTING)
    handed = outputs["metal"]["value"]["edge-1"]
    assert (handed["previous_private_key"], handed["previous_public_key"]) == (
        "the key before",
        "the public key before",
    )
    assert handed["gateway"]["previous_key"] == {"port": 51820, "until": "2100-01-01T00:00:00Z"}


async def test_readiness_is_ours_and_not_the_plugins() -> None:
    """What needs a pod comes after its Readiness, since the plugin may end its own wait too early."""
    declared = await declare(access=["mesh"])
    for deployment in ("one-gateway", "server", "keys"):
        assert one(declared, "Deployment", deployment)["metadata"]["annotations"]["pulumi.com/skipAwait"] == "true"
    assert one(declared, "Readiness", "one-ready")["deadline_seconds"] == 180
    assert {key.rpartition("::")[2] for key in declared if "Readiness" in key} == {
        *("one-ready", "server-ready", "keys-ready"),
    }


async def test_another_server_or_user_is_another_identity_of_tailscaled() -> None:
    """It never leaves the one that it has joined once."""

    async def state(**headscale: object) -> str:
        pod = gateway_pod(await declare(headscale=CONFIG["headscale"] | headscale))
        return next(str(each["value"]) for each in pod["containers"][0]["env"] if each["name"] == "TS_STATE_DIR")

    states = {await state(), await state(url="https://moved.example.com"), await state(user="somebody")}
    assert len(states) == 3
    assert await state(image="headscale/headscale:0.29.2") in states


async def test_the_key_service_may_nothing_and_holds_no_key_in_its_env() -> None:
    declared, outputs = await run(access=["mesh"], mesh_clients={"tags": ["tag:device"]})
    deployment = one(declared, "Deployment", "keys")
    pod = deployment["spec"]["template"]["spec"]
    (keys,) = pod["containers"]
    assert keys["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    told = {each["name"]: each["value"] for each in keys["env"]}
    assert (told["MESHGATE_USER"], told["MESHGATE_TAGS"]) == ("meshgate-test-devices", "tag:device")
    assert not set(told.values()) & set(SECRETS)
    assert told["MESHGATE_API_KEY_FILE"] == "/etc/meshgate-headscale/api-key"
    assert outputs["login_server"] == CONFIG["headscale"]["url"]
    env = one(declared, "WorkloadEnv", "env")
    assert env["values"]["MESH_LOGIN_SERVER"] == CONFIG["headscale"]["url"]
    assert "MESH_KEYS_TOKEN" in env["secrets"]


async def test_a_stack_of_mesh_alone_has_no_gateway() -> None:
    declared, outputs = await run(access=["mesh"], gateways=[], **EXISTING)
    kinds = {key.partition("::")[0].rpartition(":")[2] for key in declared}
    assert kinds.isdisjoint({"WireGuardKey", "ExitNode", "PreAuthKey", "HeadscaleUser"})
    assert "DevicesUser" in kinds
    assert set(outputs) == {"login_server", "keys_url"}
    env = one(declared, "WorkloadEnv", "env")
    assert set(env["values"]) == {"MESH_LOGIN_SERVER", "MESH_KEYS_URL"}
    held = one(declared, "Secret", "keys")
    assert "an existing one" in held["stringData"]["value"]["api-key"]


async def test_a_declared_policy_comes_before_the_gateways_and_is_judged(caplog: pytest.LogCaptureFixture) -> None:
    policy = {"acls": [{"action": "accept", "src": ["somebody@"], "dst": ["*:*"]}]}
    declared = await declare(headscale=CONFIG["headscale"] | {"policy": policy})
    assert json.loads(one(declared, "HeadscalePolicy", "policy")["policy"]) == policy
    kinds = [key.partition("::")[0].rpartition(":")[2] for key in declared]
    assert kinds.index("HeadscalePolicy") < kinds.index("HeadscaleUser")
    assert "Headscale's policy lets gateway meshgate-one reach nothing in the mesh" in caplog.text


async def test_ipsec_is_a_container_of_its_own_at_the_ports_that_its_clients_dial() -> None:
    ipsec = {"access": ["wireguard", "ipsec"], "exposure": "HostPort"}
    declared, _ = await run(gateways=[CONFIG["gateways"][0] | ipsec])
    pod = gateway_pod(declared)
    assert [container["name"] for container in pod["containers"]] == ["tailscale", "wireguard", "ipsec", "agent"]
    charon, agent = pod["containers"][2:]
    assert charon["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_BIND_SERVICE"]}
    assert [(port["hostPort"], port["containerPort"], port["protocol"]) for port in charon["ports"]] == [
        (500, 500, "UDP"),
        (4500, 4500, "UDP"),
    ]
    assert {mount["name"] for mount in charon["volumeMounts"]} == {"tun", "ipsec"}
    told = {one["name"]: one.get("value") for one in agent["env"]}
    assert told["MESHGATE_IPSEC_DIR"] == "/run/meshgate-ipsec"
    assert "MESHGATE_OPENVPN_LISTEN" not in told
    open_to_all = one(declared, "NetworkPolicy", "one-policy")["spec"]["ingress"][0]["ports"]
    assert {500, 4500} <= {port["port"] for port in open_to_all}


async def test_a_load_balancer_leads_ipsecs_ports_to_the_pods() -> None:
    ipsec = {"access": ["wireguard", "ipsec", "openvpn"], "exposure": "LoadBalancer"}
    declared, _ = await run(gateways=[CONFIG["gateways"][0] | ipsec])
    assert len(gateway_pod(declared)["containers"]) == 5
    ways = one(declared, "Service", "one-wireguard")["spec"]["ports"]
    assert [(way["port"], way["targetPort"]) for way in ways][2:] == [(500, 500), (4500, 4500)]


ALONE: dict[str, Any] = OPENVPN | {"access": ["openvpn"]}


async def test_a_gateway_without_wireguard_has_nothing_of_it() -> None:
    declared, outputs = await run(gateways=[CONFIG["gateways"][0] | ALONE])
    assert "WireGuardKey" not in {key.partition("::")[0].rpartition(":")[2] for key in declared}
    pod = gateway_pod(declared)
    assert [container["name"] for container in pod["containers"]] == ["tailscale", "openvpn", "agent"]
    assert "wireguard" not in {volume["name"] for volume in pod["volumes"]}
    held = one(declared, "Secret", "one-identity")["stringData"]["value"]
    assert held.keys() == {"tokens", "admin-token", "pre-auth-key", "issuing.crt", "issuing.key"}
    annotations = one(declared, "Deployment", "one-gateway")["spec"]["template"]["metadata"]["annotations"]
    assert "meshgate/public-key" not in annotations
    published = [port["port"] for port in one(declared, "Service", "one-wireguard")["spec"]["ports"]]
    open_to_all = one(declared, "NetworkPolicy", "one-policy")["spec"]["ingress"][0]["ports"]
    assert (published, [port["port"] for port in open_to_all]) == ([31194, 31443], [1194, 41642, 1194])
    assert "31820" not in json.dumps([args.inputs for key, args in declared.items() if "Config" not in key])
    assert set(outputs) == {"exit_node", "headscale_url", "peers_url", "client_networks", "openvpn_endpoints"}
    env = one(declared, "WorkloadEnv", "env")
    assert set(env["values"]) == {"GATEWAY_PEERS_URL"}
    assert set(env["secrets"]) == {"GATEWAY_PEERS_TOKEN"}


async def test_among_several_gateways_only_those_with_wireguard_have_its_names() -> None:
    declared = await declare(gateways=[CONFIG["gateways"][0] | ALONE, EDGE], orchestrator={**JUNE, "gateway": "one"})
    assert set(one(declared, "WorkloadEnv", "env")["values"]) == {
        *("GATEWAY_PEERS_URL", "GATEWAYS", "GATEWAY_ONE_PEERS_URL"),
        *("GATEWAY_EDGE_1_PUBLIC_KEY", "GATEWAY_EDGE_1_ENDPOINT", "GATEWAY_EDGE_1_PEERS_URL"),
    }


async def test_a_machine_without_wireguard_is_handed_no_key_pair() -> None:
    _, outputs = await run(gateways=[EDGE | {"access": ["ipsec"]}], headscale={})
    handed = outputs["metal"]["value"]["edge-1"]
    assert handed.keys() == {"host", "gateway", "tokens", "issuing_certificate", "issuing_key"}
    assert not {"server_public_key", "server_endpoint"} & set(outputs)


async def test_the_state_keeps_what_clients_configs_hold() -> None:
    declared = await declare(gateways=[CONFIG["gateways"][0] | OPENVPN, EDGE], protect=True)
    kept = one(declared, "ClientConfigs", "client-configs")
    assert (kept["headscale_url"], kept["protect"]) == (CONFIG["headscale"]["url"], True)
    assert kept["gateways"]["edge-1"] == {
        "dialled": {"wireguard": ["edge.example.com:51820"]},
        "client_networks": ["10.78.0.0/16"],
        "allowed_ips": ["0.0.0.0/0", "::/0"],
        "asked_at": "http://10.0.0.5:8081/metrics",
        "public_key": "the public key",
    }
    held = kept["gateways"]["one"]
    assert held["dialled"].keys() == {"wireguard", "openvpn"}
    assert held["issuer"] == hashlib.sha256(b"the issuer\nthe CA\n").hexdigest()[:16]


async def test_who_has_no_openvpn_has_no_ca() -> None:
    kinds = {key.partition("::")[0].rpartition(":")[2] for key in await declare()}
    assert kinds.isdisjoint({"CertificateAuthority", "IssuingCertificate"})


async def test_the_agents_probes_are_apart_from_what_the_service_leads_to() -> None:
    declared = await declare(orchestrator={"deployment": "june-orchestrator"})
    agent = gateway_pod(declared)["containers"][2]
    assert {port["name"]: port["containerPort"] for port in agent["ports"]} == {"http": 8080, "probes": 8081}
    probes = [agent[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [(probe["port"], probe["path"]) for probe in probes] == [
        ("probes", "/healthz"),
        ("probes", "/healthz"),
        ("probes", "/readyz"),
    ]
    (service_port,) = one(declared, "Service", "one-peers")["spec"]["ports"]
    assert (service_port["port"], service_port["targetPort"]) == (8080, "http")


async def test_secrets_are_in_secrets_and_nowhere_else() -> None:
    declared = await declare(gateways=[CONFIG["gateways"][0] | OPENVPN])
    # Pulumi wraps what it will encrypt.
    assert one(declared, "Secret", "one-identity")["stringData"]["value"] == {
        "private-key": "the private key",
        "tokens": "register the token\nregister the next token\nadmin the admin token\n",
        "admin-token": "the admin token",
        "pre-auth-key": "the pre-auth key",
        "issuing.crt": "the issuer\nthe CA\n",
        "issuing.key": "the issuing key",
    }
    for key, args in declared.items():
        # A resource of ours takes the CA's key as an input, wrapped.
        if ":Secret::" not in key and "IssuingCertificate" not in key:
            assert not any(secret in json.dumps(args.inputs) for secret in SECRETS), key


async def test_every_object_can_be_taken_over_from_a_run_that_was_killed() -> None:
    for key, args in (await declare()).items():
        if key.startswith("kubernetes:"):
            assert args.inputs["metadata"]["annotations"]["pulumi.com/patchForce"] == "true", key
    for container in gateway_pod(await declare())["containers"]:
        assert all(variable.get("value") != "" for variable in container["env"])


async def test_the_orchestrator_gets_four_names_and_the_token_by_reference() -> None:
    env = one(await declare(), "WorkloadEnv", "env")
    assert env["values"] == {
        "HEADSCALE_SERVER_PUBLIC_KEY": "the public key",
        "HEADSCALE_SERVER_ENDPOINT": "vpn.example.com:31820",
        "GATEWAY_PEERS_URL": "http://meshgate-one-peers.headscale.svc:8080",
    }
    assert env["secrets"] == {"GATEWAY_PEERS_TOKEN": {"secret": "meshgate-gateway", "key": TOKEN_KEY}}


async def test_several_gateways_have_names_of_their_own_besides() -> None:
    declared = await declare(gateways=[CONFIG["gateways"][0], EDGE], orchestrator={**JUNE, "gateway": "edge-1"})
    env = one(declared, "WorkloadEnv", "env")
    assert env["values"] == {
        "HEADSCALE_SERVER_PUBLIC_KEY": "the public key",
        "HEADSCALE_SERVER_ENDPOINT": "edge.example.com:51820",
        "GATEWAY_PEERS_URL": "http://10.0.0.5:8080",
        "GATEWAYS": "edge-1,one",
        "GATEWAY_ONE_PUBLIC_KEY": "the public key",
        "GATEWAY_ONE_ENDPOINT": "vpn.example.com:31820",
        "GATEWAY_ONE_PEERS_URL": "http://meshgate-one-peers.headscale.svc:8080",
        "GATEWAY_EDGE_1_PUBLIC_KEY": "the public key",
        "GATEWAY_EDGE_1_ENDPOINT": "edge.example.com:51820",
        "GATEWAY_EDGE_1_PEERS_URL": "http://10.0.0.5:8080",
    }
    names = {"GATEWAY_PEERS_TOKEN", "GATEWAY_ONE_PEERS_TOKEN", "GATEWAY_EDGE_1_PEERS_TOKEN"}
    assert env["secrets"] == {name: {"secret": "meshgate-gateway", "key": TOKEN_KEY} for name in names}
    assert one(declared, "Secret", "token")["stringData"]["value"] == {TOKEN_KEY: "the token"}


async def test_a_rotated_token_reaches_the_orchestrator_and_replaces_no_gateway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = await declare()
    monkeypatch.setitem(
        LEARNED, "Token", {"value": "the next token", "previous": "the token", "next": "a third", "admin": "another"}
    )
    after = await declare(gateways=[CONFIG["gateways"][0] | {"token_rotation": "2027"}])
    assert one(after, "Token", "one-token")["rotation"] == "2027"
    tokens = one(after, "Secret", "one-identity")["stringData"]["value"]["tokens"]
    assert tokens == "register the next token\nregister the token\nregister a third\nadmin another\n"
    assert one(after, "Deployment", "one-gateway") == one(before, "Deployment", "one-gateway")
    # A pod that is not restarted yet finds its old token in the Secret.
    reference = one(after, "WorkloadEnv", "env")["secrets"]["GATEWAY_PEERS_TOKEN"]
    assert reference["key"] != TOKEN_KEY
    held = one(after, "Secret", "token")["stringData"]["value"]
    assert held == {TOKEN_KEY: "the token", reference["key"]: "the next token"}


@pytest.mark.parametrize(
    "change",
    [
        {"dns": ["192.0.2.53"]},
        {"mtu": 1300},
        {"persistent_keepalive": 10},
        {"allowed_ips": ["100.64.0.0/10"]},
        {"endpoint": "other.example.com:31820"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_the_agent_takes_up_by_itself_replaces_no_gateway(change: dict[str, Any]) -> None:
    before, after = await declare(), await declare(gateways=[CONFIG["gateways"][0] | change])
    assert one(after, "Deployment", "one-gateway") == one(before, "Deployment", "one-gateway")
    assert one(after, "ConfigMap", "one-config") != one(before, "ConfigMap", "one-config")


async def test_a_device_can_be_shut_out_while_the_gateway_is_not_ready() -> None:
    assert one(await declare(), "Service", "one-peers")["spec"]["publishNotReadyAddresses"] is True


async def test_a_machine_that_has_not_joined_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty value is a name left out."""
    monkeypatch.setitem(LEARNED, "ExitNode", {"node_id": "", "why": ""})
    env = one(await declare(gateways=[EDGE, CONFIG["gateways"][0]], orchestrator=JUNE), "WorkloadEnv", "env")
    assert {name for name, value in env["values"].items() if value == ""} == {
        "HEADSCALE_SERVER_PUBLIC_KEY",
        "HEADSCALE_SERVER_ENDPOINT",
        "GATEWAY_PEERS_URL",
        "GATEWAY_EDGE_1_PUBLIC_KEY",
        "GATEWAY_EDGE_1_ENDPOINT",
        "GATEWAY_EDGE_1_PEERS_URL",
    }
    assert env["values"]["GATEWAYS"] == "one"
    unkeyed = {name for name, reference in env["secrets"].items() if reference["key"] == ""}
    assert unkeyed == {"GATEWAY_PEERS_TOKEN", "GATEWAY_EDGE_1_PEERS_TOKEN"}


TWO: dict[str, Any] = {
    "name": "two",
    "endpoint": "b.example.com:31821",
    "client_networks": ["10.79.0.0/16"],
}


@pytest.mark.parametrize("in_mesh", [True, False])
async def test_a_gateway_that_fails_holds_back_its_own_names_alone(
    monkeypatch: pytest.MonkeyPatch, *, in_mesh: bool
) -> None:
    why = "Deployment headscale/meshgate-one is not ready."
    monkeypatch.setitem(LEARNED, "one-ready", {"ready": False, "why": why, "stood": False})
    headscale = CONFIG["headscale"] if in_mesh else {}
    declared = await declare(gateways=[CONFIG["gateways"][0], TWO], headscale=headscale)
    env = one(declared, "WorkloadEnv", "env")
    assert {name: value for name, value in env["values"].items() if value} == {
        "GATEWAYS": "two",
        "GATEWAY_TWO_PUBLIC_KEY": "the public key",
        "GATEWAY_TWO_ENDPOINT": "b.example.com:31821",
        "GATEWAY_TWO_PEERS_URL": "http://meshgate-two-peers.headscale.svc:8080",
    }
    assert {name for name, reference in env["secrets"].items() if reference["key"]} == {"GATEWAY_TWO_PEERS_TOKEN"}
    assert list(filter(None, one(declared, "Verdict", "gateways")["whys"])) == [why]


async def test_a_gateway_that_stood_and_is_ill_keeps_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    before = one(await declare(gateways=[CONFIG["gateways"][0], TWO]), "WorkloadEnv", "env")
    monkeypatch.setitem(LEARNED, "one-ready", {"ready": False, "why": "It is not ready.", "stood": True})
    declared = await declare(gateways=[CONFIG["gateways"][0], TWO])
    assert one(declared, "WorkloadEnv", "env") == before
    assert "It is not ready." in one(declared, "Verdict", "gateways")["whys"]


async def test_what_does_not_join_is_not_waited_for_twice_and_told_by_its_exit_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(LEARNED, "ExitNode", {"node_id": "", "why": "It is no exit node."})
    declared = await declare()
    ready = one(declared, "Readiness", "one-ready")
    assert (ready["judged"], ready["held_up"]) == (True, "It is no exit node.")
    assert not one(declared, "Readiness", "server-ready")["judged"], "all else needs it"
    assert one(declared, "Verdict", "gateways")["whys"] == ["It is no exit node.", ""]


async def test_a_plain_machine_is_handed_nothing_of_a_mesh_and_is_shown_at_once() -> None:
    declared, outputs = await run(gateways=[EDGE], headscale={})
    assert outputs["metal"]["value"]["edge-1"].keys() == {"host", "gateway", "private_key", "public_key", "tokens"}
    assert one(declared, "WorkloadEnv", "env")["values"]["HEADSCALE_SERVER_ENDPOINT"] == EDGE["endpoint"]


async def test_machines_alone_need_no_cluster() -> None:
    declared = await declare(gateways=[EDGE], orchestrator={}, **EXISTING)
    assert sorted(declared) == [
        "meshgate:access:Gateway::edge-1",
        "meshgate:components:Cluster::cluster",
        "pulumi-python:dynamic/meshgate:ClientConfigs::client-configs",
        "pulumi-python:dynamic/meshgate:ExitNode::edge-1-exit-node",
        "pulumi-python:dynamic/meshgate:HeadscaleUser::user",
        "pulumi-python:dynamic/meshgate:PreAuthKey::edge-1-pre-auth-key",
        "pulumi-python:dynamic/meshgate:StackId::id",
        "pulumi-python:dynamic/meshgate:Token::edge-1-token",
        "pulumi-python:dynamic/meshgate:Verdict::gateways",
        "pulumi-python:dynamic/meshgate:WireGuardKey::edge-1-key",
    ]
    assert one(declared, "ExitNode", "edge-1-exit-node")["awaited"] is True
    assert one(declared, "PreAuthKey", "edge-1-pre-auth-key")["expiration_hours"] == 24
    with_orchestrator = await declare(gateways=[EDGE], **EXISTING)
    kubernetes = {key for key in with_orchestrator if "kubernetes" in key}
    assert kubernetes == {"kubernetes:core/v1:Secret::token", "pulumi:providers:kubernetes::kubernetes"}


async def test_the_playbook_gets_all_that_makes_a_machine_the_gateway() -> None:
    headscale = EXISTING["headscale"] | {"ca_certificate": CA}
    _, outputs = await run(gateways=[EDGE | {"host": "192.0.2.7"}], **(EXISTING | {"headscale": headscale}))
    # The whole of it is encrypted.
    assert set(outputs["metal"]) == {SECRET, "value"}
    assert outputs["metal"]["value"] == {
        "edge-1": {
            "host": "192.0.2.7",
            "gateway": EDGE | {"host": "192.0.2.7"},
            "headscale": {
                "url": "https://headscale.example.com",
                "ca_certificate": CA,
                "user": "meshgate-test",
            },
            "private_key": "the private key",
            "public_key": "the public key",
            "tokens": "register the token\nregister the next token\nadmin the admin token\n",
            "pre_auth_key": "the pre-auth key",
            "pre_auth_key_id": "edge-1-pre-auth-key-id",
        }
    }


async def test_outputs_are_the_first_gateways_and_of_several_each_ones() -> None:
    _, outputs = await run(gateways=[EDGE, CONFIG["gateways"][0]])
    assert (outputs["server_endpoint"], outputs["peers_url"]) == (EDGE["endpoint"], EDGE["peers_url"])
    assert outputs["exit_node"]["id"] == "7"
    endpoints = {name: gateway["server_endpoint"] for name, gateway in outputs["gateways"].items()}
    assert endpoints == {"edge-1": "edge.example.com:51820", "one": "vpn.example.com:31820"}
    _, outputs = await run()
    assert not {"gateways", "metal"} & set(outputs)


async def test_without_an_orchestrator_no_deployment_is_touched() -> None:
    assert not [key for key in await declare(orchestrator={}) if "Orchestrator" in key or "WorkloadEnv" in key]


async def test_one_state_one_pod_one_port() -> None:
    declared = await declare()
    assert one(declared, "Deployment", "one-gateway")["spec"]["strategy"] == {"type": "Recreate"}
    service = one(declared, "Service", "one-wireguard")["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    port = service["ports"][0]
    assert (port["port"], port["targetPort"], port["nodePort"], port["protocol"]) == (31820, 31820, 31820, "UDP")


async def test_a_load_balancer_needs_no_node_port_and_a_host_port_no_service() -> None:
    gateway = CONFIG["gateways"][0] | {"endpoint": "vpn.example.com:51820"}
    balanced = await declare(gateways=[gateway | {"exposure": "LoadBalancer"}])
    assert "nodePort" not in one(balanced, "Service", "one-wireguard")["spec"]["ports"][0]
    host = await declare(gateways=[gateway | {"exposure": "HostPort"}])
    assert "kubernetes:core/v1:Service::one-wireguard" not in host
    wireguard = gateway_pod(host)["containers"][1]
    assert wireguard["ports"][0]["hostPort"] == 51820


WATCHED = CONFIG["gateways"][0] | {
    "monitoring": {"namespace": "prometheus", "labels": {"release": "kps"}, "interval": "15s", "alerts": True}
}


async def test_prometheus_finds_the_gateway_where_that_is_asked_for() -> None:
    declared = await declare(gateways=[WATCHED])
    monitor, rule = one(declared, "PodMonitor", "one-monitor"), one(declared, "PrometheusRule", "one-alerts")
    pod = one(declared, "Deployment", "one-gateway")["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    agent = pod["spec"]["containers"][-1]
    assert endpoint["port"] in [port["name"] for port in agent["ports"]]
    assert (endpoint["path"], endpoint["interval"]) == ("/metrics", "15s")
    assert {label["targetLabel"]: label["replacement"] for label in endpoint["relabelings"]} == {
        "job": "meshgate",
        "gateway": "one",
    }
    for found in (monitor, rule):
        assert (found["metadata"]["namespace"], found["metadata"]["labels"]["release"]) == ("headscale", "kps")
    expressions = [rule["expr"] for group in rule["spec"]["groups"] for rule in group["rules"]]
    assert expressions
    own = 'job="meshgate", namespace="headscale", gateway="one"'
    assert all(expression.count("job=") == expression.count(own) > 0 for expression in expressions)


async def test_prometheus_is_let_in_and_nobody_else() -> None:
    def callers(declared: Declared) -> list[str]:
        (agent,) = [one for one in gateway_pod(declared)["containers"] if one["name"] == "agent"]
        ports = {port["containerPort"] for port in agent["ports"]}
        return [
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
            for rule in one(declared, "NetworkPolicy", "one-policy")["spec"]["ingress"]
            for peer in rule.get("from", [])
            if ports & {port["port"] for port in rule["ports"]}
        ]

    assert callers(await declare()) == ["june-services"]
    assert callers(await declare(gateways=[WATCHED])) == ["june-services", "prometheus"]


async def test_without_monitoring_no_object_needs_the_operator() -> None:
    quiet = await declare(gateways=[WATCHED | {"monitoring": {"namespace": "prometheus"}}])
    assert [key for key in quiet if "monitoring.coreos.com" in key] == [
        "kubernetes:monitoring.coreos.com/v1:PodMonitor::one-monitor"
    ]
    assert not [key for key in await declare() if "monitoring" in key.lower()]


async def test_ipv6_forwarding_is_asked_for_only_by_ipv6_clients() -> None:
    assert gateway_pod(await declare())["securityContext"]["sysctls"] == []
    gateway = CONFIG["gateways"][0] | {"client_networks": ["10.77.0.0/16", "fd77::/64"]}
    sysctls = gateway_pod(await declare(gateways=[gateway]))["securityContext"]["sysctls"]
    assert sysctls == [{"name": "net.ipv6.conf.all.forwarding", "value": "1"}]


@pytest.mark.parametrize(
    ("networks", "wireguard", "agent"),
    [(["10.77.0.0/24"], "266Mi", "129Mi"), (["10.77.0.0/16", "fd77::/64"], "2816Mi", "320Mi")],
)
async def test_the_memory_that_a_pod_may_have_is_enough_for_a_full_pool(
    networks: list[str], wireguard: str, agent: str
) -> None:
    declared = await declare(gateways=[CONFIG["gateways"][0] | {"client_networks": networks}])
    limits = {
        container["name"]: container["resources"]["limits"]["memory"]
        for container in gateway_pod(declared)["containers"]
    }
    assert (limits["wireguard"], limits["agent"]) == (wireguard, agent)


async def test_a_plain_stack_declares_no_part_of_a_mesh() -> None:
    aside: dict[str, Any] = EXISTING | {"gateways": [CONFIG["gateways"][0] | {"mesh": False}]}
    without: dict[str, Any] = {"headscale": {}}
    for changes in (without, aside):
        declared, outputs = await run(**changes)
        kinds = {key.split("::")[0].split(":")[-1] for key in declared}
        assert not kinds & {"HeadscaleServer", "HeadscaleApiKey", "HeadscaleUser", "PreAuthKey", "ExitNode"}
        assert not outputs.keys() & {"exit_node", "headscale_url"}
        pod = gateway_pod(declared)
        assert [container["name"] for container in pod["containers"]] == ["wireguard", "agent"]
        assert {volume["name"] for volume in pod["volumes"]} == {"identity", "settings", "state", "tun", "wireguard"}
        assert "pre-auth-key" not in one(declared, "Secret", "one-identity")["stringData"]
        ingress = one(declared, "NetworkPolicy", "one-policy")["spec"]["ingress"]
        (anybody,) = [rule for rule in ingress if "from" not in rule]
        assert [port["port"] for port in anybody["ports"]] == [31820]
        assert {"name": "MESHGATE_TAILSCALE_SOCKET"} in pod["containers"][1]["env"]


async def test_an_existing_headscale_is_not_declared() -> None:
    declared = await declare(**EXISTING)
    assert not [key for key in declared if "HeadscaleServer" in key or "HeadscaleApiKey" in key]


async def test_an_agent_without_wireguard_takes_what_it_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    declared = await declare(gateways=[CONFIG["gateways"][0] | ALONE])
    for variable in gateway_pod(declared)["containers"][-1]["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", ""))
    for name, value in one(declared, "ConfigMap", "one-config")["data"].items():
        (tmp_path / name).write_text(value)
    monkeypatch.setenv("MESHGATE_SETTINGS_DIR", str(tmp_path))
    settings = LiveSettings()()
    assert (settings.offered, settings.host, settings.private_key_file) == (("openvpn",), "vpn.example.com", None)


async def test_the_agent_takes_what_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(LEARNED["WireGuardKey"], "public_key", SERVER_KEY)
    networks = ["10.77.0.0/16", "fd77::/64"]
    gateway = CONFIG["gateways"][0] | {"client_networks": networks, "dns": ["192.0.2.53"], "mtu": 1300}
    declared = await declare(gateways=[gateway])
    pod = gateway_pod(declared)
    for container in pod["containers"][1:]:
        for variable in container["env"]:
            monkeypatch.setenv(variable["name"], variable.get("value", ""))
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "settings"]
    for item in volume["configMap"]["items"]:
        (tmp_path / item["path"]).write_text(one(declared, "ConfigMap", "one-config")["data"][item["key"]])
    monkeypatch.setenv("MESHGATE_SETTINGS_DIR", str(tmp_path))
    settings, interface = LiveSettings()(), settings_loading.load(InterfaceSettings)
    assert (settings.listen_port, settings.endpoint, settings.mtu) == (31820, "vpn.example.com:31820", 1300)
    assert ([*map(str, settings.client_networks)], [*map(str, settings.dns)]) == (networks, ["192.0.2.53"])
    assert interface.interface == settings.interface
    known = {
        f"MESHGATE_{name}".upper() for name in {*agent.AgentSettings.model_fields, *InterfaceSettings.model_fields}
    }
    assert {variable["name"] for container in pod["containers"][1:] for variable in container["env"]} <= known


POD: dict[str, Any] = {
    "image_pull_secrets": ["registry"],
    "image_pull_policy": "Always",
    "node_selector": {"example.com/edge": "yes"},
    "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoExecute", "toleration_seconds": 60}],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
            }
        }
    },
    "priority_class": "important",
    "labels": {"team": "network"},
    "annotations": {"sidecar.istio.io/inject": "false"},
    "object_labels": {"cost": "42"},
    "object_annotations": {"example.com/owner": "the network team"},
    "disruption_budget": True,
}
DEPLOYMENTS = {"one-gateway": "meshgate-one", "server": "headscale", "keys": "meshgate-keys"}


async def test_what_pod_says_is_laid_over_each_pod_and_ours_stays() -> None:
    plain = await declare(access=["mesh"])
    declared = await declare(access=["mesh"], pod=POD)
    for name in DEPLOYMENTS:
        before, after = (one(stack, "Deployment", name)["spec"]["template"] for stack in (plain, declared))
        assert after["metadata"]["labels"] == before["metadata"]["labels"] | POD["labels"]
        assert after["metadata"]["annotations"] == before["metadata"]["annotations"] | POD["annotations"]
        placed = {
            "imagePullSecrets": [{"name": "registry"}],
            "nodeSelector": POD["node_selector"],
            "tolerations": [{"key": "edge", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
            "affinity": POD["affinity"],
            "priorityClassName": "important",
        }
        containers = [container | {"imagePullPolicy": "Always"} for container in before["spec"]["containers"]]
        assert after["spec"] == before["spec"] | placed | {"containers": containers}
    assert not one(plain, "Deployment", "one-gateway")["spec"]["template"]["spec"].keys() & placed.keys()


async def test_all_objects_that_go_with_a_pod_have_its_object_labels_and_ours() -> None:
    monitoring = {"monitoring": {"namespace": "monitoring", "alerts": True}}
    gateways = [CONFIG["gateways"][0] | monitoring]
    headscale = CONFIG["headscale"] | {"ingress": {"tls_secret": "tls"}, "stun_node_port": 30478}
    plain, declared = [
        await declare(access=["mesh"], gateways=gateways, headscale=headscale, pod=pod)
        for pod in ({}, POD | {"disruption_budget": False})
    ]
    for key, args in plain.items():
        if not key.startswith("kubernetes:") or key.endswith(("::namespace", "::token")):
            continue
        before, after = args.inputs["metadata"], declared[key].inputs["metadata"]
        assert after["labels"] == before["labels"] | POD["object_labels"]
        assert after["annotations"] == before["annotations"] | POD["object_annotations"]
        assert before["labels"]["meshgate/stack"] == "1f" * 16


async def test_what_a_part_says_of_its_pod_takes_the_place_of_what_the_stack_says() -> None:
    own = {"node_selector": {"kubernetes.io/hostname": "edge-7"}, "tolerations": []}
    gateways = [CONFIG["gateways"][0] | {"pod": own}]
    declared = await declare(access=["mesh"], pod=POD, gateways=gateways, mesh_clients={"pod": {"labels": {"a": "b"}}})
    pod = gateway_pod(declared)
    assert (pod["nodeSelector"], "tolerations" in pod) == (own["node_selector"], False)
    assert pod["priorityClassName"] == "important"
    keys = one(declared, "Deployment", "keys")["spec"]["template"]
    assert keys["metadata"]["labels"].items() >= {"a": "b", "app.kubernetes.io/name": "keys"}.items()
    assert "team" not in keys["metadata"]["labels"]
    assert keys["spec"]["nodeSelector"] == POD["node_selector"]


async def test_resources_change_where_a_setting_names_them() -> None:
    resources = {
        "wireguard": {"requests": {"cpu": "2"}, "limits": {"cpu": 4, "memory": "4Gi"}},
        "agent": {"requests": {"memory": "256Mi"}},
    }
    pod = gateway_pod(await declare(pod={"resources": resources}))
    tailscale, wireguard, agent = (container["resources"] for container in pod["containers"])
    assert tailscale == {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
    assert wireguard == {"requests": {"cpu": "2", "memory": "64Mi"}, "limits": {"cpu": "4", "memory": "4Gi"}}
    assert agent == {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "320Mi"}}


async def test_a_disruption_budget_holds_the_very_pod_of_its_deployment() -> None:
    declared = await declare(access=["mesh"], pod={"disruption_budget": True})
    for deployment in ("one-gateway", "server", "keys"):
        held = one(declared, "PodDisruptionBudget", deployment)["spec"]
        assert held["selector"] == one(declared, "Deployment", deployment)["spec"]["selector"]
        assert (held["maxUnavailable"], held["unhealthyPodEvictionPolicy"]) == (0, "AlwaysAllow")
    assert not [key for key in await declare() if "PodDisruptionBudget" in key]


async def test_an_ingress_is_not_awaited_and_has_its_certificate_by_name_or_by_annotations() -> None:
    annotations = {"cert-manager.io/cluster-issuer": "letsencrypt"}
    ingress = {"tls_secret": "headscale-cert", "class_name": "traefik", "annotations": annotations}
    declared = await declare(headscale=CONFIG["headscale"] | {"ingress": ingress})
    made = one(declared, "Ingress", "ingress")
    assert made["metadata"]["annotations"].items() >= {"pulumi.com/skipAwait": "true", **annotations}.items()
    assert made["spec"]["tls"] == [{"hosts": ["headscale.example.com"], "secretName": "headscale-cert"}]
    assert made["spec"]["ingressClassName"] == "traefik"
    assert not [key for key in declared if key.endswith("Secret::certificate")]


async def test_a_certificate_by_setting_becomes_the_ingress_secret() -> None:
    pair = trustme.CA().issue_cert("headscale.example.com")
    certificate, key = pair.cert_chain_pems[0].bytes().decode(), pair.private_key_pem.bytes().decode()
    headscale = CONFIG["headscale"] | {"ingress": {"certificate": certificate}}
    declared = await declare(headscale=headscale, headscale_ingress_key=key)
    secret = one(declared, "Secret", "certificate")
    assert secret["type"] == "kubernetes.io/tls"
    held = secret["stringData"]["value"]
    assert (held["tls.crt"], held["tls.key"]) == (certificate, key)
    (told,) = one(declared, "Ingress", "ingress")["spec"]["tls"]
    assert told["secretName"] == secret["metadata"]["name"]
    assert key not in str([args.inputs for name, args in declared.items() if not name.endswith("::certificate")])


async def test_a_private_key_in_clear_text_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match="meshgate:headscale_ingress_key: it is set in clear text; use `pulumi"):
        await declare(secrets=(), headscale_ingress_key="a key")


async def test_nothing_listens_on_ipv4_alone() -> None:
    """In a cluster of IPv6 it would never be ready."""
    declared = await declare(access=["mesh"])
    headscale = yaml.safe_load(one(declared, "ConfigMap", "config")["data"]["config.yaml"])
    listening = (headscale["listen_addr"], headscale["metrics_listen_addr"], headscale["derp"]["server"])
    assert (*listening[:2], listening[2]["stun_listen_addr"]) == (":8080", ":9090", ":3478")
    tailscale = {each["name"]: each for each in gateway_pod(declared)["containers"][0]["env"]}
    assert tailscale["TS_LOCAL_ADDR_PORT"]["value"] == "$(POD_IP):9002"
    names = list(tailscale)
    assert names.index("POD_IP") < names.index("TS_LOCAL_ADDR_PORT")
    fields = {name: tailscale[name]["valueFrom"]["fieldRef"]["fieldPath"] for name in ("POD_IP", "POD_IPS")}
    assert fields == {"POD_IP": "status.podIP", "POD_IPS": "status.podIPs"}
    assert "MESHGATE_HTTP_HOST" not in [each["name"] for each in gateway_pod(declared)["containers"][2]["env"]]


async def test_the_agent_asks_tailscaled_where_it_listens() -> None:
    tailscale, _, agent = gateway_pod(await declare())["containers"]
    (listens,) = [each["value"] for each in tailscale["env"] if each["name"] == "TS_SOCKET"]
    assert {"name": "MESHGATE_TAILSCALE_SOCKET", "value": listens} in agent["env"]
    meeting = {"name": "tailscale-run", "mountPath": str(Path(listens).parent)}
    assert meeting in tailscale["volumeMounts"]
    assert meeting | {"readOnly": True} in agent["volumeMounts"]


async def test_what_is_dialled_from_outside_has_both_families_where_the_cluster_has_them() -> None:
    declared = await declare(headscale=CONFIG["headscale"] | {"stun_node_port": 30478})
    for name in ("one-wireguard", "stun"):
        assert one(declared, "Service", name)["spec"]["ipFamilyPolicy"] == "PreferDualStack"


@pytest.mark.parametrize(
    ("url", "dialled"), [("https://[2001:db8::1]", "2001:db8::1"), ("https://headscale.example.com", None)]
)
async def test_a_relay_at_an_ipv6_address_can_be_dialled(url: str, dialled: str | None) -> None:
    """By the name that Headscale gives it, which is the address in brackets, it cannot."""
    declared = await declare(headscale=CONFIG["headscale"] | {"url": url})
    config = yaml.safe_load(one(declared, "ConfigMap", "config")["data"]["config.yaml"])
    assert config["derp"]["server"].get("ipv6") == dialled


async def test_the_firewall_is_told_of_the_cluster_and_of_its_nodes() -> None:
    cluster = {"pod_networks": ["198.18.0.0/16"], "service_networks": ["fd96::/108"], "node_networks": ["192.0.2.0/28"]}
    rules = {"node_ports": [443, 8443], "allow_networks": ["10.5.0.0/16"], "block_networks": ["203.0.113.0/24"]}
    declared = await declare(cluster=cluster, gateways=[CONFIG["gateways"][0] | rules])
    settings = one(declared, "ConfigMap", "one-config")["data"]
    told = {name.removeprefix("MESHGATE_").lower(): value for name, value in settings.items()}
    assert told["closed_networks"] == "198.18.0.0/16,fd96::/108"
    assert told["node_networks"] == "192.0.2.0/28"
    assert (told["node_ports"], told["allow_networks"]) == ("443,8443", "10.5.0.0/16")
    assert told["block_networks"] == "203.0.113.0/24"
    env = {variable["name"]: variable for variable in gateway_pod(declared)["containers"][2]["env"]}
    field = env["MESHGATE_NODE_ADDRESSES"]["valueFrom"]["fieldRef"]
    assert field == {"apiVersion": "v1", "fieldPath": "status.hostIPs"}


async def test_the_peer_api_is_reached_from_where_the_settings_say() -> None:
    orchestrator = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "june-services"}}}
    api = [{"port": 8080, "protocol": "TCP"}]
    spec = one(await declare(), "NetworkPolicy", "one-policy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"][1:] == [{"from": [orchestrator], "ports": api}]
    callers = [
        {"namespace": "backend", "pod_labels": {"app_kind": "api"}},
        {"pod_labels": {"app": "job"}},
        {"network": "10.0.0.0/24"},
    ]
    peers = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "backend"}},
            "podSelector": {"matchLabels": {"app_kind": "api"}},
        },
        {"podSelector": {"matchLabels": {"app": "job"}}},
        {"ipBlock": {"cidr": "10.0.0.0/24"}},
    ]
    gateways = [CONFIG["gateways"][0] | {"api_from": callers}]
    spec = one(await declare(gateways=gateways), "NetworkPolicy", "one-policy")["spec"]
    assert spec["ingress"][1:] == [{"from": [orchestrator, *peers], "ports": api}]
    spec = one(await declare(gateways=gateways, orchestrator={}), "NetworkPolicy", "one-policy")["spec"]
    assert spec["ingress"][1:] == [{"from": peers, "ports": api}]
    spec = one(await declare(orchestrator={}), "NetworkPolicy", "one-policy")["spec"]
    assert len(spec["ingress"]) == 1, "who is not named does not reach it"


def test_the_program_and_the_agent_agree_on_what_the_mesh_is() -> None:
    assert agent.MESH_NETWORKS == MESH_NETWORKS


async def test_a_private_ca_reaches_tailscaled() -> None:
    declared = await declare(headscale=CONFIG["headscale"] | {"ca_certificate": CA})
    assert one(declared, "ConfigMap", "one-config")["data"]["ca.crt"] == CA
    pod = gateway_pod(declared)
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "certificates"]
    assert volume["configMap"] == {"name": "meshgate-one", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    tailscale = pod["containers"][0]
    assert {"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs:/etc/meshgate-certificates"} in tailscale["env"]


KEY = curve25519.generate_private_key()


async def test_an_existing_key_is_the_gateways_and_is_shown_to_nobody() -> None:
    gateways = [each | {"private_key": KEY} for each in (CONFIG["gateways"][0], EDGE)]
    declared, outputs = await run(secrets=("gateways",), gateways=gateways)
    for name in ("one-key", "edge-1-key"):
        assert one(declared, "WireGuardKey", name)["adopt"] == {SECRET: SIGNED, "value": KEY}
    assert outputs["metal"]["value"]["edge-1"]["gateway"] == EDGE
    elsewhere = [args.inputs for key, args in declared.items() if ":WireGuardKey::" not in key]
    assert KEY not in json.dumps([elsewhere, outputs])


async def test_an_existing_key_in_clear_text_is_refused() -> None:
    sentence = (
        r"meshgate:gateways\[0\]\.private_key: it is set in clear text; use "
        r"`pulumi config set --secret --path 'gateways\[0\]\.private_key'`\."
    )
    with pytest.raises(pulumi.RunError, match=sentence) as error:
        await declare(gateways=[CONFIG["gateways"][0] | {"private_key": KEY}])
    assert KEY not in str(error.value)


async def test_a_bad_setting_ends_the_program_before_anything_is_declared() -> None:
    with pytest.raises(pulumi.RunError, match=r"meshgate:gateways\[0\].mtu"):
        await declare(gateways=[CONFIG["gateways"][0] | {"mtu": 9000}])


async def test_an_api_key_in_clear_text_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match="set in clear text; use `pulumi config set --secret") as error:
        await declare(secrets=(), headscale_api_key="an existing one")
    assert "an existing one" not in str(error.value)
