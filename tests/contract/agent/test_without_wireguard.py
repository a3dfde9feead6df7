"""A gateway without WireGuard: no interface, no port and no key of it, and traffic of other ways all the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.agent import ipsec_gateway, openvpn_gateway
from tests.contract.agent.conftest import made_world
from tests.contract.agent.world import FAR_4, FAR_6, LAN_NEIGHBOUR, LISTEN_PORT, MESH_4, MESH_6, PRIVATE_4, World
from tests.deadlines import wait_for
from tests.unit.agent.fakes import key_pair

Gateway = openvpn_gateway.Gateway | ipsec_gateway.Gateway
GATEWAYS: dict[str, type[Gateway]] = {"openvpn": openvpn_gateway.Gateway, "ipsec": ipsec_gateway.Gateway}
NOBODYS = "10.77.0.99"
"""A client's address that no client has."""
COUNTING = f"""
table inet counted {{
    chain prerouting {{
        type filter hook prerouting priority filter;
        ip daddr {NOBODYS} counter
    }}
}}
"""


@pytest.fixture(params=GATEWAYS)
def gateway(request: pytest.FixtureRequest, tmp_path: Path, wireguard_go: str) -> Iterator[Gateway]:
    with made_world(tmp_path, wireguard_go) as world:
        world.wireguard = {}
        gateway: Gateway = GATEWAYS[request.param](world)
        try:
            gateway.start_process()
            world.start_agent()
            world.wait_until_ready()
            yield gateway
        finally:
            gateway.stop_process()


def test_a_device_passes_traffic_and_wireguard_is_refused(gateway: Gateway) -> None:
    world = gateway.world
    answer = world.call("POST", "/v1/peers", json={"public_key": key_pair().public})
    assert (answer.status_code, answer.json()["field"]) == (422, "protocol")
    assert answer.json()["detail"] == "this gateway does not offer wireguard"
    device = gateway.register()
    with gateway.connected(device) as client:
        client.comes_up()
        for address in (MESH_4, MESH_6, FAR_4, FAR_6):
            assert client.reaches(address), address
        assert not client.reaches(PRIVATE_4)
        gateway.revoke(device)
        assert not client.reaches(FAR_4)
    assert world.interface not in world.gateway.run("ip", "-brief", "link")
    assert str(LISTEN_PORT) not in world.gateway.run("ss", "-Hnlu") + world.gateway.run("nft", "list", "ruleset")


def test_a_device_of_wireguard_stays_stored_while_that_is_given_up(fresh_world: World) -> None:
    world = fresh_world
    gateway = openvpn_gateway.Gateway(world)
    own = world.wireguard
    try:
        gateway.start()
        with world.new_client() as native:
            native.configure(world.register(native.keys.public))
            assert native.reaches(MESH_4)
            world.stop_agent()
            world.wireguard = {}
            world.start_agent()
            world.wait_until_ready()
            assert not native.reaches(MESH_4, within_s=1)
            path = f"/v1/peers/{native.keys.public}"
            assert world.call("GET", path).json()["server_public_key"] is None
            world.stop_agent()
            world.wireguard = own
            world.start_agent()
            world.wait_until_ready()
            assert world.call("GET", path).json()["server_public_key"] == world.keys.public
            wait_for(lambda: native.reaches(MESH_4, within_s=1), "the device", within=10)
    finally:
        gateway.stop_process()


@pytest.mark.parametrize("gateway", ["openvpn"], indirect=True)
def test_a_firewall_that_was_flushed_is_back(gateway: openvpn_gateway.Gateway) -> None:
    gateway.world.gateway.run("nft", "flush", "ruleset")
    wait_for(lambda: gateway.world.rules("forward"), "the firewall", within=5)
    gateway.world.wait_until_ready()


@pytest.mark.parametrize("gateway", ["openvpn"], indirect=True)
def test_what_is_for_a_client_that_has_gone_leads_nowhere(gateway: openvpn_gateway.Gateway) -> None:
    """No interface has the clients' network, so its addresses would lead to the default route."""
    world = gateway.world
    world.gateway.run("ip", "route", "add", "default", "via", LAN_NEIGHBOUR)
    world.neighbour.run("nft", "-f", "-", stdin=COUNTING)
    world.far.run("ip", "route", "add", NOBODYS, "via", "198.51.100.1")
    assert world.far.tried("ping", "-n", "-c2", "-i0.2", "-W1", NOBODYS).returncode != 0
    assert "packets 0 " in world.neighbour.run("nft", "list", "ruleset")
