"""What a cluster tells of its networks and ports, by the answers of its API."""

from typing import Any

import pytest

from environments.answers import AnswerError
from environments.checks import Checks, published_on_nodes
from infra.kubernetes.client import ClusterError, KubernetesClient
from infra.settings.gateway import GatewaySettings

NODES, CIDRS = "/api/v1/nodes", "/apis/networking.k8s.io/v1/servicecidrs"
KUBEADM = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config"
SERVICES = "/api/v1/services"

Answers = dict[str, dict[str, Any]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """The API's answers by path; what is not among them we may not see."""
    answers: Answers = {}

    def get(self: KubernetesClient, path: str) -> dict[str, Any]:
        if path not in answers:
            raise ClusterError(f"The cluster refuses GET {path} (403): forbidden")
        return answers[path]

    monkeypatch.setattr(KubernetesClient, "get", get)
    return answers


def node(*cidrs: str) -> dict[str, Any]:
    return {"spec": {"podCIDRs": list(cidrs)}}


def test_networks_are_read_where_they_stand(answers: Answers) -> None:
    answers[NODES] = {"items": [node("10.42.0.0/24", "fd42::/64"), node("10.42.1.0/24"), {"spec": {}}]}
    answers[CIDRS] = {"items": [{"spec": {"cidrs": ["10.43.0.0/16"]}}]}
    assert Checks("dev").networks(None) == {
        "pod_networks": ["10.42.0.0/24", "fd42::/64", "10.42.1.0/24"],
        "service_networks": ["10.43.0.0/16"],
    }


def test_kubeadm_knows_of_nodes_that_are_yet_to_come(answers: Answers) -> None:
    answers[NODES] = {"items": [node("10.244.0.0/24")]}
    networking = "networking:\n  podSubnet: 10.244.0.0/16,fd44::/56\n  serviceSubnet: 10.96.0.0/12\n"
    answers[KUBEADM] = {"data": {"ClusterConfiguration": networking}}
    assert Checks("dev").networks(None) == {
        "pod_networks": ["10.244.0.0/16", "fd44::/56"],
        "service_networks": ["10.96.0.0/12"],
    }


def test_what_we_may_not_see_is_not_known(answers: Answers) -> None:
    assert Checks("dev").networks(None) == {"pod_networks": [], "service_networks": []}
    Checks("dev").node_port(None, "meshgate", 31820)


@pytest.mark.parametrize(
    ("settings", "ports"),
    [
        ({}, [31820]),
        ({"access": ["openvpn"], "openvpn": {"udp_port": 31194, "tcp_port": 31443}}, [31194, 31443]),
        ({"exposure": "LoadBalancer"}, []),
        ({"target": "metal"}, []),
    ],
    ids=["WireGuard", "OpenVPN alone", "load balancer", "machine"],
)
def test_every_port_that_clients_dial_on_nodes_has_to_be_free(settings: dict[str, Any], ports: list[int]) -> None:
    gateway = GatewaySettings.model_validate({"name": "one", "endpoint": "vpn.example.com:31820", **settings})
    assert list(published_on_nodes(gateway)) == ports


@pytest.mark.parametrize("protocol", ["UDP", "TCP"])
def test_a_node_port_is_taken_whatever_the_protocol(answers: Answers, protocol: str) -> None:
    spec = {"ports": [{"port": 51820, "nodePort": 31820, "protocol": protocol}]}
    answers[SERVICES] = {"items": [{"metadata": {"namespace": "theirs", "name": "vpn"}, "spec": spec}]}
    Checks("dev").node_port(None, "meshgate", 31821)
    with pytest.raises(AnswerError, match=r"Node port 31820 is taken by Service theirs/vpn; choose another one"):
        Checks("dev").node_port(None, "meshgate", 31820)


def test_our_own_service_does_not_take_our_port(answers: Answers) -> None:
    spec = {"ports": [{"port": 31820, "nodePort": 31820, "protocol": "UDP"}]}
    ours: dict[str, Any] = {"namespace": "headscale", "name": "meshgate-one", "labels": {"meshgate/stack": "1b"}}
    answers[SERVICES] = {"items": [{"metadata": ours, "spec": spec}]}
    Checks("dev").node_port(None, "headscale", 31820)
    theirs = {"namespace": "headscale", "name": "headscale-stun"}
    answers[SERVICES]["items"].append({"metadata": theirs, "spec": spec})
    with pytest.raises(AnswerError, match=r"is taken by Service headscale/headscale-stun"):
        Checks("dev").node_port(None, "headscale", 31820)


def test_an_existing_namespace_must_be_there_and_let_a_gateway_in(answers: Answers) -> None:
    name, label = "/api/v1/namespaces/june", "pod-security.kubernetes.io/enforce"
    answers[name] = {"metadata": {}}
    Checks("dev").existing_namespace(None, "june", "privileged")
    answers[name]["metadata"]["labels"] = {label: "restricted"}
    with pytest.raises(AnswerError, match=r"Namespace june does not let the stack's pods in"):
        Checks("dev").existing_namespace(None, "june", "privileged")
