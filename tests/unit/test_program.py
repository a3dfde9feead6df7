"""What the program declares, seen through Pulumi's mocks: the pods' privileges, the ways of keys, the pinned types."""

import asyncio
import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.mocks import MockMonitor, MockResourceArgs, Mocks, set_mocks

PROGRAM = Path(__file__).parents[2] / "__main__.py"
CONFIG: dict[str, Any] = {
    "headscale": {"managed": True, "url": "https://headscale.example.com"},
    "gateways": [{"name": "one", "endpoint": "vpn.example.com:31820"}],
    "orchestrator": {"deployment": "june-orchestrator"},
}
LEARNED: dict[str, dict[str, Any]] = {
    "WireGuardKey": {"private_key": "the private key", "public_key": "the public key"},
    "Token": {"value": "the token"},
    "PreAuthKey": {"key": "the pre-auth key"},
}
SECRETS = ("the private key", "the token", "the pre-auth key")

Declared = dict[str, MockResourceArgs]


class Recorder(Mocks):
    """Answers every registration with its inputs, and what our own resources would learn."""

    def __init__(self) -> None:
        self.declared: Declared = {}

    def call(self, args: object) -> tuple[dict[str, object], None]:
        raise AssertionError("the program calls no function of a provider")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.declared[f"{args.typ}::{args.name}"] = args
        return f"{args.name}-id", {**args.inputs, **LEARNED.get(args.typ.split(":")[-1], {})}


@pytest.fixture
def declare() -> Iterator[Callable[..., Declared]]:
    # Pulumi's mocks want the thread's event loop, which asyncio's own tests take away.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def run(*, secret: bool = True, **config: object) -> Declared:
        recorder = Recorder()
        set_mocks(recorder, project="meshgate", stack="test", preview=False, monitor=MockMonitor(recorder))
        values = {f"meshgate:{key}": json.dumps(value) for key, value in (CONFIG | config).items()}
        pulumi.runtime.set_all_config(values, ["meshgate:headscale_api_key"] if secret else [])
        pulumi.runtime.test(lambda: runpy.run_path(str(PROGRAM), run_name="__main__") and None)()  # type: ignore[no-untyped-call]
        return recorder.declared

    yield run
    asyncio.set_event_loop(None)
    loop.close()


def one(declared: Declared, kind: str, name: str) -> dict[str, Any]:
    found = [args.inputs for key, args in declared.items() if key.endswith(f":{kind}::{name}")]
    assert len(found) == 1, sorted(declared)
    return dict(found[0])


def gateway_pod(declared: Declared) -> dict[str, Any]:
    return dict(one(declared, "Deployment", "gateway")["spec"]["template"]["spec"])


def test_types_and_names_are_part_of_every_users_state(declare: Callable[..., Declared]) -> None:
    assert sorted(declare()) == [
        "kubernetes:apps/v1:Deployment::gateway",
        "kubernetes:apps/v1:Deployment::server",
        "kubernetes:core/v1:ConfigMap::config",
        "kubernetes:core/v1:Namespace::namespace",
        "kubernetes:core/v1:PersistentVolumeClaim::state",
        "kubernetes:core/v1:Secret::identity",
        "kubernetes:core/v1:Secret::token",
        "kubernetes:core/v1:Service::http",
        "kubernetes:core/v1:Service::peers",
        "kubernetes:core/v1:Service::wireguard",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy::policy",
        "meshgate:access:Gateway::one",
        "meshgate:components:Cluster::cluster",
        "meshgate:components:GatewayWorkload::one",
        "meshgate:components:HeadscaleServer::headscale",
        "meshgate:components:OrchestratorEnv::orchestrator",
        "pulumi-python:dynamic/meshgate:ExitNode::exit-node",
        "pulumi-python:dynamic/meshgate:HeadscaleApiKey::api-key",
        "pulumi-python:dynamic/meshgate:HeadscaleUser::user",
        "pulumi-python:dynamic/meshgate:PreAuthKey::pre-auth-key",
        "pulumi-python:dynamic/meshgate:Token::token",
        "pulumi-python:dynamic/meshgate:WireGuardKey::key",
        "pulumi-python:dynamic/meshgate:WorkloadEnv::env",
        "pulumi:providers:kubernetes::kubernetes",
    ]


def test_every_container_of_the_gateway_has_net_admin_and_nothing_more(declare: Callable[..., Declared]) -> None:
    pod = gateway_pod(declare())
    assert [container["name"] for container in pod["containers"]] == ["tailscale", "wireguard", "agent"]
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
        assert (context["privileged"], context["allowPrivilegeEscalation"]) == (False, False)
        assert context["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_secrets_are_in_secrets_and_nowhere_else(declare: Callable[..., Declared]) -> None:
    declared = declare()
    # Pulumi wraps what it will encrypt.
    assert one(declared, "Secret", "identity")["stringData"]["value"] == {
        "private-key": "the private key",
        "token": "the token",
        "pre-auth-key": "the pre-auth key",
    }
    for key, args in declared.items():
        if ":Secret::" not in key:
            assert not any(secret in json.dumps(args.inputs) for secret in SECRETS), key


def test_the_orchestrator_gets_four_names_and_the_token_by_reference(declare: Callable[..., Declared]) -> None:
    env = one(declare(), "WorkloadEnv", "env")
    assert env["values"] == {
        "HEADSCALE_SERVER_PUBLIC_KEY": "the public key",
        "HEADSCALE_SERVER_ENDPOINT": "vpn.example.com:31820",
        "GATEWAY_PEERS_URL": "http://meshgate-one-peers.meshgate.svc.cluster.local:8080",
    }
    assert env["secrets"] == {"GATEWAY_PEERS_TOKEN": {"secret": "meshgate-gateway", "key": "token"}}


def test_without_an_orchestrator_no_deployment_is_touched(declare: Callable[..., Declared]) -> None:
    assert not [key for key in declare(orchestrator={}) if "Orchestrator" in key or "WorkloadEnv" in key]


def test_one_state_one_pod_one_port(declare: Callable[..., Declared]) -> None:
    declared = declare()
    assert one(declared, "Deployment", "gateway")["spec"]["strategy"] == {"type": "Recreate"}
    service = one(declared, "Service", "wireguard")["spec"]
    assert service["externalTrafficPolicy"] == "Local"
    port = service["ports"][0]
    assert (port["port"], port["targetPort"], port["nodePort"], port["protocol"]) == (31820, 31820, 31820, "UDP")


def test_a_load_balancer_needs_no_node_port_and_a_host_port_no_service(declare: Callable[..., Declared]) -> None:
    gateway = CONFIG["gateways"][0] | {"endpoint": "vpn.example.com:51820"}
    balanced = declare(gateways=[gateway | {"exposure": "LoadBalancer"}])
    assert "nodePort" not in one(balanced, "Service", "wireguard")["spec"]["ports"][0]
    host = declare(gateways=[gateway | {"exposure": "HostPort"}])
    assert "kubernetes:core/v1:Service::wireguard" not in host
    wireguard = gateway_pod(host)["containers"][1]
    assert wireguard["ports"][0]["hostPort"] == 51820


def test_ipv6_forwarding_is_asked_for_only_by_ipv6_clients(declare: Callable[..., Declared]) -> None:
    assert gateway_pod(declare())["securityContext"]["sysctls"] == []
    gateway = CONFIG["gateways"][0] | {"client_networks": ["10.77.0.0/16", "fd77::/64"]}
    sysctls = gateway_pod(declare(gateways=[gateway]))["securityContext"]["sysctls"]
    assert sysctls == [{"name": "net.ipv6.conf.all.forwarding", "value": "1"}]


def test_an_existing_headscale_is_not_declared(declare: Callable[..., Declared]) -> None:
    declared = declare(
        headscale={"managed": False, "url": "https://headscale.example.com"}, headscale_api_key="an existing one"
    )
    assert not [key for key in declared if "HeadscaleServer" in key or "HeadscaleApiKey" in key]


def test_a_private_ca_reaches_tailscaled(declare: Callable[..., Declared]) -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"
    declared = declare(headscale=CONFIG["headscale"] | {"ca_certificate": certificate})
    assert one(declared, "ConfigMap", "certificates")["data"] == {"ca.crt": certificate}
    tailscale = gateway_pod(declared)["containers"][0]
    assert {"name": "SSL_CERT_DIR", "value": "/etc/ssl/certs:/etc/meshgate-certificates"} in tailscale["env"]


def test_a_bad_setting_ends_the_program_before_anything_is_declared(declare: Callable[..., Declared]) -> None:
    with pytest.raises(pulumi.RunError, match=r"meshgate:gateways\[0\].mtu"):
        declare(gateways=[CONFIG["gateways"][0] | {"mtu": 9000}])


def test_an_api_key_in_clear_text_is_refused(declare: Callable[..., Declared]) -> None:
    with pytest.raises(pulumi.RunError, match="set in clear text; use `pulumi config set --secret") as error:
        declare(secret=False, headscale_api_key="an existing one")
    assert "an existing one" not in str(error.value)
