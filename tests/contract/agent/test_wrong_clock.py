"""The agent's clock is wrong for a while, and it issues certificates meanwhile: servers get good ones afterwards."""

import time
from pathlib import Path

import pytest

from tests.contract.agent import ipsec_gateway, openvpn_gateway
from tests.contract.agent.agents_clock import AgentsClock
from tests.contract.agent.world import MESH_4, World
from tests.deadlines import wait_for

SEEN_S = 2
"""The agent looks at OpenVPN's certificate every second."""
Gateway = openvpn_gateway.Gateway | ipsec_gateway.Gateway
SERVERS: dict[str, type[Gateway]] = {
    "openvpn/told.conf": openvpn_gateway.Gateway,
    "ipsec/server.pem": ipsec_gateway.Gateway,
}


@pytest.mark.parametrize("file", SERVERS)
def test_devices_come_in_after_the_clock_was_ahead(fresh_world: World, file: str) -> None:
    clock = AgentsClock(fresh_world)
    gateway: Gateway = SERVERS[file](fresh_world)
    certificate = Path(fresh_world.directory, file)
    try:
        gateway.start()
        device, first = gateway.register(), certificate.read_text()
        clock.is_off("+2y")
        wait_for(lambda: certificate.read_text() != first, "a certificate that is good by the wrong clock")
        ahead = certificate.read_text()
        time.sleep(SEEN_S)
        clock.is_right()
        wait_for(lambda: certificate.read_text() != ahead, "a certificate that is good")
        time.sleep(SEEN_S)
        fresh_world.wait_until_ready()
        with gateway.connected(device) as client:
            client.comes_up()
            assert client.reaches(MESH_4)
    finally:
        gateway.stop_process()
