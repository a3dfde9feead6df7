"""What two sections of a stack cannot both have, and what they can."""

from typing import Any

import pytest

from infra.settings.loading import SettingsError, load
from infra.settings.stack import StackSettings

ONE: dict[str, Any] = {"name": "one", "endpoint": "vpn.example.com:31820"}
TWO: dict[str, Any] = {"name": "two", "endpoint": "b.example.com:31821", "client_networks": ["10.78.0.0/16"]}
EDGE: dict[str, Any] = TWO | {"name": "edge", "endpoint": "edge.example.com:51820", "target": "metal"}
MANAGED: dict[str, Any] = {"managed": True, "url": "https://headscale.example.com"}
BOTH = {"access": ["wireguard", "openvpn"]}
IPSEC = {"access": ["ipsec"], "exposure": "LoadBalancer"}
ORCHESTRATOR = {"deployment": "june-orchestrator", "namespace": "meshgate"}


def stack(one: dict[str, Any], two: dict[str, Any], **more: object) -> dict[str, Any]:
    return {"namespace": "meshgate", "headscale": MANAGED, "gateways": [ONE | one, TWO | two]} | more


def loaded(values: dict[str, Any]) -> StackSettings:
    return load(values.get, values)


def alone(**more: object) -> dict[str, Any]:
    return {"namespace": "meshgate", "headscale": MANAGED, "gateways": [ONE]} | more


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        # names
        (stack({}, {"name": "one"}), "gateways share the name one; each needs its own"),
        (
            stack({"name": "a"}, {"name": "a-peers"}),
            "gateway a and gateway a-peers would overwrite each other's Service meshgate/meshgate-a-peers; give one of",
        ),
        (stack({"name": "keys"}, {}, access=["mesh"]), "gateway keys and the key service of `access` would overwrite"),
        (
            stack({"name": "gateway"}, {}, orchestrator=ORCHESTRATOR),
            "gateway gateway and the orchestrator's tokens would overwrite each other's Secret meshgate/meshg",
        ),
        (
            stack({}, {}, orchestrator=ORCHESTRATOR | {"deployment": "meshgate-one"}),
            "gateway one and orchestrator.deployment would overwrite each other's Deployment meshgate/meshgate-one",
        ),
        (
            alone(headscale=MANAGED | {"ingress": {"tls_secret": "meshgate-one"}}),
            "gateway one and headscale.ingress.tls_secret would overwrite each other's Secret meshgate/meshgate-one",
        ),
        # what clients dial
        (
            stack({}, {"endpoint": "VPN.example.com:31820"}),
            "gateways[1]: endpoint port 31820 of VPN.example.com is also gateways[0]: endpoint port 31820; a client",
        ),
        (
            stack({"endpoint": "[2001:db8::1]:31820"}, {"endpoint": "[2001:DB8:0::1]:31820"}),
            "gateways[1]: endpoint port 31820 of 2001:DB8:0::1 is also gateways[0]",
        ),
        (
            stack(
                BOTH | {"exposure": "LoadBalancer"},
                BOTH | {"exposure": "LoadBalancer", "endpoint": "vpn.example.com:31821"},
            ),
            "gateways[1]: openvpn.udp_port 1194 of vpn.example.com is also gateways[0]: openvpn.udp_port 1194",
        ),
        (
            stack(IPSEC, IPSEC | {"endpoint": "vpn.example.com:31821"}),
            "gateways[1]: ipsec's port 500 of vpn.example.com is also gateways[0]: ipsec's port 500",
        ),
        (
            stack({}, {}, gateways=[EDGE, EDGE | {"name": "b", "endpoint": "EDGE.example.com:51821"}]),
            "gateways share the host edge.example.com; each needs its own",
        ),
        # nodes' ports
        (
            stack({}, {"endpoint": "b.example.com:31820"}),
            "gateways[1]: endpoint port 31820 is also gateways[0]: endpoint port; a node has each port once",
        ),
        (
            stack(BOTH | {"openvpn": {"udp_port": None, "tcp_port": 31821}}, {}),
            "gateways[1]: endpoint port 31821 is also gateways[0]: openvpn.tcp_port; a node has each port once",
        ),
        (
            stack({"exposure": "HostPort"}, {"endpoint": "b.example.com:31820"}),
            "gateways[1]: endpoint port 31820 is also gateways[0]: endpoint port",
        ),
        (
            alone(headscale=MANAGED | {"stun_node_port": 31820}),
            "gateways[0]: endpoint port 31820 is also headscale.stun_node_port; a node has each port once, so use",
        ),
        (alone(headscale=MANAGED | {"node_port": 31820}), "endpoint port 31820 is also headscale.node_port"),
        (
            alone(headscale=MANAGED | {"node_port": 30080, "stun_node_port": 30080}),
            "headscale.stun_node_port 30080 is also headscale.node_port",
        ),
        # networks
        (
            alone(cluster={"pod_networks": ["100.96.0.0/11"]}),
            "cluster.pod_networks 100.96.0.0/11 overlaps the mesh's 100.64.0.0/10, and tailscaled drops what comes "
            "from there by another way, such as the cluster's DNS; set `mesh: false` for gateway one, or run it on",
        ),
        (alone(cluster={"service_networks": ["100.64.0.0/13"]}), "cluster.service_networks 100.64.0.0/13 overlaps the"),
        (
            alone(cluster={"node_networks": ["100.64.9.0/24"]}),
            "cluster.node_networks 100.64.9.0/24 overlaps the mesh's",
        ),
        (alone(cluster={"pod_networks": ["fd7a:115c:a1e0:a::/64"]}), "overlaps the mesh's fd7a:115c:a1e0::/48"),
    ],
)
def test_what_collides_is_refused_in_one_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as error:
        loaded(values)
    assert sentence in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(stack({"name": "keys"}, {}), id="the key service's name where there is none"),
        pytest.param(
            stack({"name": "a"}, {"name": "a-peers", "exposure": "HostPort"}), id="a HostPort has no Service to share"
        ),
        pytest.param(
            stack({"name": "a"}, {}, gateways=[ONE | {"name": "a"}, EDGE | {"name": "a-peers"}]), id="a machine"
        ),
        pytest.param(
            stack({"name": "gateway"}, {}, orchestrator=ORCHESTRATOR | {"namespace": "june-services"}),
            id="the tokens' name in another namespace",
        ),
        pytest.param(
            alone(headscale=MANAGED | {"ingress": {"tls_secret": "headscale"}}), id="a Secret of the Deployment's name"
        ),
        pytest.param(
            stack({"exposure": "HostPort"}, {"exposure": "HostPort", "endpoint": "b.example.com:31820"}),
            id="one HostPort on two nodes",
        ),
        pytest.param(
            stack({"exposure": "LoadBalancer"}, {"exposure": "LoadBalancer", "endpoint": "b.example.com:31820"}),
            id="one port of two load balancers",
        ),
        pytest.param(
            stack(BOTH | {"openvpn": {"udp_port": 31194, "tcp_port": 31194}}, {}),
            id="one node port of one Service, by two transports",
        ),
        pytest.param(
            stack(BOTH | {"openvpn": {"udp_port": None, "tcp_port": 31821}, "exposure": "HostPort"}, {}),
            id="a HostPort of another transport",
        ),
        pytest.param(stack(IPSEC, IPSEC | {"endpoint": "b.example.com:31820"}), id="nobody dials the endpoint's port"),
        pytest.param(
            alone(cluster={"pod_networks": ["100.96.0.0/11"]}, gateways=[ONE | {"mesh": False}]), id="a plain gateway"
        ),
        pytest.param(alone(cluster={"pod_networks": ["100.96.0.0/11"]}, gateways=[EDGE]), id="a machine elsewhere"),
    ],
)
def test_what_does_not_collide_is_taken(values: dict[str, Any]) -> None:
    assert loaded(values).gateways
