"""Resources for the rules to look at: a gateway as the program declares it, changed as a test wants."""

from typing import Any

from policy.declared import DeclaredResource, DeclaredStack

PROD = DeclaredStack("prod", protect=True)
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
WIREGUARD_KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="


def container(**changes: object) -> dict[str, Any]:
    """A container of the gateway that breaks no rule, but for these changes."""
    good: dict[str, Any] = {
        "name": "agent",
        "image": f"registry.example.com/meshgate/gateway@{DIGEST}",
        "env": [
            {"name": "MESHGATE_CLIENT_NETWORKS", "value": "10.77.0.0/16,fd77::/64"},
            {"name": "MESHGATE_ENDPOINT", "value": "vpn.example.com:31820"},
            {"name": "MESHGATE_PUBLIC_KEY", "value": WIREGUARD_KEY},
            {"name": "MESHGATE_PRIVATE_KEY_FILE", "value": "/etc/meshgate/private-key"},
            {"name": "TS_AUTHKEY", "value": "file:/run/meshgate/pre-auth-key"},
            {"name": "TS_KUBE_SECRET"},
            {"name": "GATEWAY_PEERS_TOKEN", "valueFrom": {"secretKeyRef": {"name": "meshgate", "key": "token"}}},
        ],
        "securityContext": {
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
        },
    }
    return good | changes


def environment(**values: str) -> dict[str, Any]:
    """A container with these variables besides its own."""
    good = container()
    changed = [variable for variable in good["env"] if variable["name"] not in values]
    return good | {"env": changed + [{"name": name, "value": value} for name, value in values.items()]}


def deployment(*containers: dict[str, Any], name: str = "one", **pod: object) -> DeclaredResource:
    """The gateway's Deployment; `pod` are fields of its PodSpec."""
    volumes = [{"name": "tun", "hostPath": {"path": "/dev/net/tun"}}, {"name": "tmp", "emptyDir": {}}]
    spec = {"containers": list(containers or [container()]), "volumes": volumes} | pod
    metadata = {"name": f"meshgate-{name}", "labels": {"app.kubernetes.io/instance": name}}
    return resource(
        "kubernetes:apps/v1:Deployment", "gateway", {"metadata": metadata, "spec": {"template": {"spec": spec}}}
    )


def workload_env(**values: object) -> DeclaredResource:
    """What the orchestrator is told."""
    good = {"HEADSCALE_SERVER_PUBLIC_KEY": WIREGUARD_KEY, "HEADSCALE_SERVER_ENDPOINT": "vpn.example.com:31820"}
    props = {"container": "orchestrator", "values": good | values}
    return resource("pulumi-python:dynamic/meshgate:WorkloadEnv", "env", props, protect=True)


def resource(type_: str, name: str, props: dict[str, Any], *, protect: bool = False) -> DeclaredResource:
    """Any resource of the stack prod."""
    return DeclaredResource(f"urn:pulumi:prod::meshgate::{type_}::{name}", type_, props, protect)
