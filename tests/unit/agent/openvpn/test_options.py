"""What a device is told of its tunnel when it comes in."""

import pytest

from gateway.agent.protocols.openvpn.options import options
from tests.unit.agent.fakes import agent_settings

OWN = ("ifconfig-push 10.77.0.5 255.255.255.248", "ifconfig-ipv6-push fd77::5/64 fd77::1")
BOTH = "10.77.0.0/29,fd77::/64"


@pytest.mark.parametrize(
    ("networks", "allowed", "dns", "told"),
    [
        (
            BOTH,
            "0.0.0.0/0,::/0",
            "10.77.0.1,fd77::1",
            (
                *OWN,
                'push "route-gateway 10.77.0.1"',
                'push "redirect-gateway def1"',
                'push "redirect-gateway ipv6"',
                'push "dhcp-option DNS 10.77.0.1"',
                'push "dhcp-option DNS6 fd77::1"',
            ),
        ),
        (
            BOTH,
            "100.64.0.0/10,fd7a:115c:a1e0::/48",
            "",
            (
                *OWN,
                'push "route-gateway 10.77.0.1"',
                'push "route 100.64.0.0 255.192.0.0"',
                'push "route-ipv6 fd7a:115c:a1e0::/48"',
            ),
        ),
        (
            "10.77.0.0/29",
            "0.0.0.0/0,::/0",
            "",
            (
                OWN[0],
                'push "route-gateway 10.77.0.1"',
                'push "redirect-gateway def1"',
                'push "redirect-gateway ipv6"',
                'push "ifconfig-ipv6 fd15:53b6:dead::2/64 fd15:53b6:dead::1"',
                'push "block-ipv6"',
            ),
        ),
        (
            BOTH,
            "100.64.0.0/10,::/0",
            "",
            (
                *OWN,
                'push "route-gateway 10.77.0.1"',
                'push "redirect-gateway ipv6 !ipv4"',
                'push "route 100.64.0.0 255.192.0.0"',
            ),
        ),
        (
            "10.77.0.0/29",
            "100.64.0.0/10,fd7a:115c:a1e0::/48",
            "",
            (OWN[0], 'push "route-gateway 10.77.0.1"', 'push "route 100.64.0.0 255.192.0.0"'),
        ),
    ],
)
def test_a_device_is_told(networks: str, allowed: str, dns: str, told: tuple[str, ...]) -> None:
    settings = agent_settings(client_networks=networks, allowed_ips=allowed, dns=dns)
    assert options(settings, 5) == told
