"""A gateway that lets devices in by WireGuard and by IPsec: one stack, one list, stock clients."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.headscale.models import Node
from lab.cluster import kube
from lab.network import ipsec_client, strongswan, topology
from lab.network import wireguard_client as clients
from lab.pulumi import pulumi_host
from lab.pulumi.stack import Stack
from tests.deadlines import wait_for
from tests.device_paths import device_path
from tests.e2e import lab_world, life
from tests.e2e.test_openvpn import kubernetes
from tests.e2e.test_pod import NET_ADMIN

pytestmark = pytest.mark.timeout(400)

NAME = "ipsec"
NET_BIND_SERVICE = 1 << 10
NAMESPACE, GATEWAY = f"meshgate-{NAME}", f"meshgate-{NAME}"
BACK_S = 30
"""charon tells its clients when its pod ends, and they try again until the next one answers."""
MIB_5 = f"{lab_world.INTERNET[0]}/download/5000000"


@pytest.fixture
def settings(stack: Stack) -> dict[str, Any]:
    """The lab's, in the same mesh, but for what two stacks must not share."""
    lab = stack.settings()
    server = lab["headscale"]
    gateway = lab["gateways"][0] | {
        "name": NAME,
        "endpoint": f"{topology.NODE_IPV4}:51826",
        "exposure": "HostPort",
        "client_networks": ["10.83.0.0/16", "fd83::/64"],
        "access": ["wireguard", "ipsec"],
    }
    return {
        "cluster": lab["cluster"],
        "namespace": NAMESPACE,
        "headscale": {"managed": False, "url": server["url"], "ca_certificate": server["ca_certificate"]},
        "gateways": [gateway],
    }


@pytest.fixture
def both(settings: dict[str, Any]) -> Iterator[Stack]:
    both = Stack(pulumi_host.find(), NAME)
    both.prepare(settings)
    both.set_secret("headscale_api_key", lab_world.api_key())
    yield both
    life.destroy(both)
    both.remove()


def test_devices_come_by_ipsec_until_they_are_revoked(both: Stack, settings: dict[str, Any], mesh_peer: Node) -> None:
    life.up(both)
    life.assert_settled(both)
    assert lab_world.containers(NAMESPACE, GATEWAY) == {"tailscale", "wireguard", "ipsec", "agent"}
    status = kube.kubectl("exec", "-n", NAMESPACE, f"deploy/{GATEWAY}", "-c", "ipsec", "--", "cat", "/proc/1/status")
    assert f"CapEff:\t{NET_ADMIN | NET_BIND_SERVICE:016x}" in status

    native = lab_world.let_in_by_hand(NAMESPACE, GATEWAY)
    device, other = register(), register()
    everywhere = (*lab_world.INTERNET, *lab_world.urls(mesh_peer))
    with (
        clients.connected(NAME, native) as phone,
        ipsec_client.connected("laptop", device["profile"]) as laptop,
        ipsec_client.connected("hotel", other["profile"]) as hotel,
    ):
        for client in (phone, laptop, hotel):
            for url in everywhere:
                assert lab_world.passes(client, url, 10), f"{client.name}: {url}"
            assert client.download(MIB_5) == 5_000_000
            assert not lab_world.passes(client, f"https://{kubernetes()}:443", 1), "nothing of the cluster"

        kube.kubectl("delete", "pod", "-n", NAMESPACE, "-l", f"app.kubernetes.io/instance={NAME}")
        for client in (phone, laptop, hotel):
            wait_for(lambda client=client: lab_world.passes(client, everywhere[0], 2), client.name, BACK_S)  # type: ignore[misc]

        lab_world.call_by_hand(NAMESPACE, GATEWAY, "DELETE", device_path(device["id"]))
        assert not lab_world.passes(laptop, everywhere[0], 2)
        wait_for(lambda: any(word in laptop.log.read_text() for word in strongswan.REFUSED), "the refusal", 20)
        assert lab_world.passes(hotel, everywhere[0], 5)

        (gateway,) = settings["gateways"]
        without = {name: value for name, value in gateway.items() if name != "access"}
        both.write(both.settings() | {"gateways": [without]})
        life.up(both)
        life.assert_settled(both)
        assert lab_world.containers(NAMESPACE, GATEWAY) == {"tailscale", "wireguard", "agent"}
        assert lab_world.passes(phone, everywhere[0], 20), "with the config that the device has"
        assert not lab_world.passes(hotel, everywhere[0], 2)
        assert not any("Certificate" in resource["type"] for resource in both.resources())


def register() -> dict[str, Any]:
    """A device by IPsec, whose key the gateway makes."""
    body = {"protocol": "ipsec", "make_key": True}
    return dict(json.loads(lab_world.call_by_hand(NAMESPACE, GATEWAY, "POST", "/v1/peers", body)))
