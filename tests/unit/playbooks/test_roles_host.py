"""What the module gateway_host sees, and what the filters make of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from playbooks.filter_plugins import gateway_firewall as firewall
from playbooks.filter_plugins.gateway_listeners import (
    EVERY_ADDRESS,
    gateway_ports,
    gateway_probe_url,
    gateway_tls_listener,
)
from playbooks.filter_plugins.gateway_parts import gateway_parts, gateway_report
from playbooks.filter_plugins.gateway_problems import gateway_problems, key_problems
from playbooks.filter_plugins.gateway_units import AGENT, KEYS, TAILSCALE, gateway_verify_unit
from tests.unit.playbooks.modules import documented_options

from ansible.module_utils import meshgate_network as network  # isort: skip
from ansible.module_utils import meshgate_tools as tools  # isort: skip
from ansible.module_utils import meshgate_units as host_units  # isort: skip
from playbooks.library import gateway_host as host_module  # isort: skip

WIREGUARD = "meshgate-wireguard.service"
RELEASE = "97afef5b31cc"
ARTIFACT = {"release": RELEASE, "architecture": "x86_64"}
SETTINGS: dict[str, Any] = {
    "interface": "meshgate0",
    "interfaces": ["meshgate0"],
    "port": 51820,
    "previous_port": None,
    "previous_interface": "meshgate1",
    "http_host": "10.0.0.5",
    "http_port": 8080,
    "probe_port": 8081,
    "peers_url": "http://10.0.0.5:8080",
    "client_networks": ["10.77.0.0/16", "fd77::/64"],
    "wireguard": {
        "wireguard": {"interface": "meshgate0", "port": 51820, "environment": {"MESHGATE_WIREGUARD": "auto"}},
    },
    "endpoint": "vpn.example.com:51820",
    "environment": {"MESHGATE_HTTP_HOST": "10.0.0.5", "MESHGATE_ALLOWED_IPS": "0.0.0.0/0,::/0"},
    "in_mesh": True,
    "servers": {},
    "issuing_problem": "",
    "tailscale": {"port": 41642},
    "headscale": {"url": "https://headscale.test"},
}
PLAIN = SETTINGS | {"in_mesh": False, "tailscale": None, "headscale": None}
OFF = {"active": False, "enabled": False}
ON = {"active": True, "enabled": True}
FRESH: dict[str, Any] = {
    "distribution": {"id": "debian", "version": "12", "name": "Debian GNU/Linux 12 (bookworm)"},
    "architecture": "x86_64",
    "systemd": 252,
    "tun": True,
    "kernel_wireguard": False,
    "tailscaled": "/usr/sbin/tailscaled",
    "releases": [],
    "unit_releases": {"wireguard": "", "wireguard-1": "", "openvpn": "", "ipsec": ""},
    "units": dict.fromkeys((*host_units.UNITS, host_units.VENDOR_UNIT), OFF),
    "interfaces": {"lo": "", "eth0": ""},
    "networks": [{"network": "10.0.0.0/24", "device": "eth0"}, {"network": "127.0.0.0/8", "device": "lo"}],
    "sockets": [],
    "sysctls": {"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"},
    "ra_interfaces": [],
    "tailscale": None,
    "vendor_tailscale": None,
    "tables": None,
    "packets": [],
    "unread_tables": [],
    "taken_back": {},
    "later_sysctls": {},
}
WORKING = FRESH | {
    "releases": [RELEASE],
    "unit_releases": {"wireguard": RELEASE, "wireguard-1": "", "openvpn": "", "ipsec": ""},
    "units": dict.fromkeys(host_units.UNITS, ON) | {host_units.VENDOR_UNIT: OFF},
    "interfaces": {"lo": "", "eth0": "", "meshgate0": "tun", "tailscale0": "tun"},
    "networks": [*FRESH["networks"], {"network": "10.77.0.0/16", "device": "meshgate0"}],
    "sockets": [
        {"protocol": "udp", "port": 51820, "address": EVERY_ADDRESS, "process": "wg", "unit": host_units.UNITS[0]},
        {
            "protocol": "tcp",
            "port": 8080,
            "address": "10.0.0.5",
            "process": "python3",
            "unit": AGENT,
        },
    ],
    "sysctls": {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"},
    "tailscale": {"joined": True, "state": "Running", "url": "https://headscale.test", "node_key": "nodekey:1"},
    "tables": ["inet meshgate", "ip filter"],
}
NODE = {"node": {"id": "7", "node_key": "nodekey:1", "exit_node": True, "online": True}}
READY = {"status": 200}


def problems(**differences: object) -> list[str]:
    return gateway_problems(FRESH | differences, SETTINGS, ARTIFACT)


def socket(protocol: str, port: int, address: str = EVERY_ADDRESS, **owner: str) -> dict[str, Any]:
    return {"protocol": protocol, "port": port, "address": address, "process": "nginx", "unit": "nginx.service"} | owner


def units(**states: dict[str, bool]) -> dict[str, Any]:
    return {"units": FRESH["units"] | {f"{name.replace('_', '-')}.service": state for name, state in states.items()}}


OFF_LATER = {"net/ipv4/ip_forward": {"file": "/etc/sysctl.d/99-cis.conf", "value": "0"}}


def chain(by: str, name: str, family: str = "ip", table: str = "filter", zone: str = "") -> dict[str, str]:
    return {"by": by, "family": family, "table": table, "chain": name, "zone": zone}


UFW, IPTABLES = chain("ufw", "INPUT"), chain("iptables-legacy", "FORWARD", "ip6")


def arrival(outcome: str, *chains: dict[str, str], version: int = 4, **differences: Any) -> dict[str, Any]:  # noqa: ANN401
    packet = {"protocol": "udp", "port": 51820, "address": "vpn.example.com", "version": version, "outcome": outcome}
    return packet | {"chains": list(chains or (UFW,))} | differences


def passage(there: str, back: str, outcome: str, *chains: dict[str, str]) -> dict[str, Any]:
    return {"from": [there], "to": [back], "version": 6, "outcome": outcome, "chains": list(chains or (IPTABLES,))}


ALL_WAYS = SETTINGS | {
    "servers": {"openvpn": {"ports": [["udp", 1194], ["tcp", 443]]}, "ipsec": {"ports": [["udp", 500], ["udp", 4500]]}}
}


def test_the_servers_ports_have_to_be_free_and_are_looked_at() -> None:
    assert set(gateway_ports(ALL_WAYS, "udp")) == {51820, 41642, 1194, 500, 4500}
    assert set(gateway_ports(ALL_WAYS, "tcp")) == {8080, 8081, 443}
    taken = FRESH | {"sockets": [socket("tcp", 443), socket("udp", 500, process="charon", unit="strongswan.service")]}
    assert gateway_problems(taken, ALL_WAYS, ARTIFACT) == [
        "TCP port 443, OpenVPN's, is taken by nginx: end that, or choose another openvpn.tcp_port.",
        "UDP port 500, IPsec's, is taken by charon: end that, or choose to leave ipsec out of `access`.",
    ]
    parts = {part["part"]: part["why"] for part in gateway_parts(WORKING, ALL_WAYS, ARTIFACT, READY, NODE)}
    assert parts["meshgate-openvpn.service"] == parts["meshgate-ipsec.service"] == ""
    assert parts["UDP port 1194"] == parts["TCP port 443"] == "nothing listens on it"


UNWIREGUARDED = ALL_WAYS | {"port": None, "wireguard": {}, "interfaces": ["ovpn-udp", "ipsec0"]}


def test_without_wireguard_nothing_of_it_is_looked_at() -> None:
    assert set(gateway_ports(UNWIREGUARDED, "udp")) == {41642, 1194, 500, 4500}
    sockets = [socket("udp", port, unit="meshgate-openvpn.service") for port in (1194, 500, 4500)]
    host = WORKING | {
        "interfaces": {"lo": "", "eth0": "", "tailscale0": "tun", "ovpn-udp": "tun"},
        "units": WORKING["units"] | {WIREGUARD: OFF},
        "sockets": [*sockets, socket("tcp", 443, unit="meshgate-openvpn.service")],
        "networks": [*FRESH["networks"], {"network": "10.77.0.5/32", "device": "ovpn-udp"}],
    }
    assert gateway_problems(host, UNWIREGUARDED, ARTIFACT) == [], "a client of OpenVPN is there"
    parts = gateway_parts(host, UNWIREGUARDED, ARTIFACT, READY, NODE)
    assert [part["part"] for part in parts if not part["works"]] == []
    assert not [part for part in parts if "wireguard" in part["part"] or "meshgate0" in part["part"]]
    packets = [passage(way, "eth0", "dropped") for way in UNWIREGUARDED["interfaces"]]
    closed = gateway_parts(host | {"packets": packets}, UNWIREGUARDED, ARTIFACT, READY, NODE)
    (why,) = [part["why"] for part in closed if not part["works"]]
    assert "drops what goes from ovpn-udp to eth0 and from ipsec0 to eth0: " in why


ROTATED = SETTINGS | {
    "previous_port": 51819,
    "previous_public_key": "the key before",
    "wireguard": SETTINGS["wireguard"]
    | {"wireguard-1": {"interface": "meshgate1", "port": 51819, "environment": {"MESHGATE_WIREGUARD": "auto"}}},
}


def test_the_previous_keys_port_and_interface_are_looked_at_too() -> None:
    assert set(gateway_ports(ROTATED, "udp")) == {51820, 51819, 41642}
    assert [one["port"] for one in firewall.gateway_arrivals(ROTATED)] == [51820, 51819, 8080]
    strangers = WORKING | {
        "sockets": [*WORKING["sockets"], socket("udp", 51819)],
        "interfaces": WORKING["interfaces"] | {"meshgate1": "wireguard"},
        "units": WORKING["units"] | {"meshgate-wireguard-1.service": OFF},
    }
    assert gateway_problems(strangers, ROTATED, ARTIFACT) == [
        "The interface meshgate1 is there already, and not the gateway's: end what made it.",
        "UDP port 51819, the previous key's, is taken by nginx: end that, or choose to leave `previous_key` out.",
    ]
    parts = {part["part"]: part["why"] for part in gateway_parts(WORKING, ROTATED, ARTIFACT, READY, NODE)}
    assert parts["meshgate-wireguard-1.service"] == ""
    assert parts["interface meshgate1"] == "it is not there: meshgate-wireguard-1.service makes it"
    assert parts["UDP port 51819"] == "nothing listens on it"


def test_how_many_use_the_previous_key_is_told() -> None:
    metrics = "# TYPE meshgate_peers gauge\nmeshgate_peers 12.0\nmeshgate_peers_on_previous_key 3.0\n"
    last = gateway_report(gateway_parts(WORKING, ROTATED, ARTIFACT, READY, NODE, metrics))[-1]
    assert last == "the WireGuard key before the present one: works, and devices that still use it: 3 of 12"
    silent = gateway_report(gateway_parts(WORKING, ROTATED, ARTIFACT, READY, NODE))[-1]
    assert silent == "the WireGuard key before the present one: works"


def test_a_key_before_the_present_one_is_the_hosts_own_or_given() -> None:
    elsewhere = ROTATED | {"previous_public_key": ""}
    assert gateway_problems(FRESH, elsewhere, ARTIFACT) == [
        "No WireGuard key of this host has port 51819, which `previous_key` says: give the port that its key has until "
        "now, or that key as meshgate_previous_private_key."
    ]
    assert gateway_problems(FRESH, elsewhere, ARTIFACT, previous_key_is_given=True) == []
    assert gateway_problems(FRESH, ROTATED, ARTIFACT) == []


def test_after_a_rotation_the_first_interface_is_in_nobodys_way() -> None:
    """It is there, with the client network's route, until the play ends it."""
    second = {"interface": "meshgate1", "port": 51819, "environment": {"MESHGATE_WIREGUARD": "auto"}}
    over = SETTINGS | {
        "port": 51819,
        "interface": "meshgate1",
        "previous_interface": "meshgate0",
        "wireguard": {"wireguard-1": second},
    }
    assert gateway_problems(WORKING, over, ARTIFACT) == []


def test_wireguard_that_is_given_up_is_in_nobodys_way() -> None:
    """Its interface and its port are there until the play ends them, and OpenVPN may take the port over."""
    openvpn = {"openvpn": {"ports": [["udp", 51820]]}}
    assert gateway_problems(WORKING, UNWIREGUARDED | {"servers": openvpn}, ARTIFACT) == []


def test_a_fresh_host_and_a_working_one_can_be_gateways() -> None:
    assert problems() == []
    assert gateway_problems(WORKING, SETTINGS, ARTIFACT) == []


@pytest.mark.parametrize(
    ("distribution", "version", "supported"),
    [
        ("debian", "12", True),
        ("debian", "11", False),
        ("debian", "13", True),
        ("debian", "", True),  # testing
        ("ubuntu", "22.04", True),
        ("ubuntu", "20.04", False),
        ("ubuntu", "24.10", True),
        ("fedora", "42", False),
        ("", "", False),
    ],
)
def test_supported_distributions(distribution: str, version: str, supported: bool) -> None:
    found = problems(distribution={"id": distribution, "version": version, "name": "This one"})
    assert (found == []) is supported
    assert all(line.startswith("This one is not supported: ") for line in found)


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ({"systemd": 245}, "systemd 245 is too old: Meshgate's units need 247 or later."),
        ({"tun": False}, "There is no usable /dev/net/tun: "),
        ({"architecture": "aarch64"}, "The artifact is made for x86_64, but this host is aarch64: "),
        ({"tailscaled": ""}, "There is no tailscaled: install Tailscale's package on the host, or name a binary"),
        (
            {"vendor_tailscale": {"joined": True, "url": "https://controlplane.tailscale.com"}},
            "This host's own tailscaled is in the tailnet of https://controlplane.tailscale.com already: ",
        ),
        ({"vendor_tailscale": {"joined": True, "url": ""}}, "This host's own tailscaled is in the tailnet already: "),
        ({"interfaces": {"meshgate0": "tun"}}, "The interface meshgate0 is there already, and not the gateway's: "),
        ({"interfaces": {"tailscale0": "tun"}}, "The interface tailscale0 is there already, and not the gateway's: "),
        ({"sockets": [socket("udp", 51820)]}, "UDP port 51820, the endpoint's, is taken by nginx: end that, or "),
        ({"sockets": [socket("udp", 41642, process="", unit="")]}, "UDP port 41642, tailscaled's, is taken by the ker"),
        ({"sockets": [socket("tcp", 8080, "10.0.0.5")]}, "TCP port 8080, the peer API's, is taken by nginx: "),
        ({"sockets": [socket("tcp", 8080, "::")]}, "TCP port 8080, the peer API's, is taken by nginx: "),
        ({"sockets": [socket("tcp", 8081, "10.0.0.5")]}, "TCP port 8081, the probes', is taken by nginx: "),
        (
            {"networks": [{"network": "10.77.3.0/24", "device": "docker0"}]},
            "The client network 10.77.0.0/16 collides with 10.77.3.0/24, which this host reaches by docker0: ",
        ),
    ],
)
def test_what_is_wrong_gets_one_sentence(differences: dict[str, object], sentence: str) -> None:
    (line,) = problems(**differences)
    assert line.startswith(sentence)
    assert line.endswith(".")


@pytest.mark.parametrize(
    "differences",
    [
        {"vendor_tailscale": {"joined": False, "url": ""}, "interfaces": {"tailscale0": "tun"}, **units(tailscaled=ON)},
        {"sockets": [socket("tcp", 8080, "127.0.0.1")]},  # another address
        {"sockets": [socket("udp", 8080), socket("tcp", 51820)]},  # another protocol
        {"sockets": [socket("udp", 51820, unit="meshgate-wireguard.service")]},
        {
            "sockets": [socket("udp", 51820, process="", unit="")],
            "interfaces": {"meshgate0": "wireguard"},
            **units(meshgate_wireguard=ON),
        },
        {"networks": [{"network": "100.64.0.1/32", "device": "tailscale0"}]},
    ],
)
def test_what_is_the_gateways_own_is_no_problem(differences: dict[str, object]) -> None:
    assert problems(**differences) == []


@pytest.mark.parametrize(
    ("packets", "sentences"),
    [
        (
            [arrival("dropped"), arrival("dropped", chain("ufw", "INPUT", "ip6"), version=6)],
            ["ufw (table filter, chain INPUT) drops what comes for UDP port 51820: open it by `ufw allow 51820/udp`."],
        ),
        (
            [
                arrival("dropped", chain("firewalld", "filter_INPUT", "inet", "firewalld", "public")),
                arrival("dropped", chain("firewalld", "filter_INPUT", "inet", "firewalld", "public"), port=1194),
            ],
            [
                "firewalld (table firewalld, chain filter_INPUT) drops what comes for UDP port 51820 and UDP port 1194"
                ": open it by `firewall-cmd --permanent --zone=public --add-port=51820/udp` and "
                "`firewall-cmd --permanent --zone=public --add-port=1194/udp`, then `firewall-cmd --reload`."
            ],
        ),
        (
            [arrival("dropped", chain("nft", "in", "inet", "mine"))],
            [
                "nft (table inet mine, chain in) drops what comes for UDP port 51820: open it by "
                "`nft insert rule inet mine in udp dport 51820 accept`, and where these rules are loaded from at boot."
            ],
        ),
        (
            [passage("meshgate0", "eth0", "dropped"), passage("eth0", "meshgate0", "dropped")],
            [
                "iptables-legacy (table ip6 filter, chain FORWARD) drops what goes from meshgate0 to eth0 and from "
                "eth0 to meshgate0: open it by `ip6tables-legacy -I FORWARD -i meshgate0 -j ACCEPT` and `ip6tables-"
                "legacy -I FORWARD -o meshgate0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`, and where these "
                "rules are loaded from at boot."
            ],
        ),
        ([arrival("passed")], []),
        ([arrival("perhaps")], []),
        ([arrival("dropped"), arrival("passed", version=6)], []),
    ],
)
def test_a_firewall_that_lets_no_client_in_is_a_problem(packets: list[object], sentences: list[str]) -> None:
    assert problems(packets=packets) == sentences


def test_the_orchestrator_has_to_get_in_and_others_need_not() -> None:
    api: dict[str, Any] = {"protocol": "tcp", "port": 8080, "address": "10.0.0.5"}
    (line,) = problems(packets=[arrival("dropped", **api)])
    assert line.endswith("drops what comes for TCP port 8080: open it by `ufw allow 8080/tcp`.")
    seen = FRESH | {"packets": [arrival("perhaps", **api)]}
    assert firewall.gateway_doubts(seen, SETTINGS) == []


def test_what_clients_send_to_the_mesh_alone_need_not_leave_otherwise() -> None:
    mesh_alone = {"MESHGATE_ALLOWED_IPS": "100.64.0.0/10,fd7a:115c:a1e0::/48"}
    out, mesh = passage("meshgate0", "eth0", "dropped"), passage("meshgate0", "tailscale0", "dropped")
    alone = SETTINGS | {"environment": SETTINGS["environment"] | mesh_alone}
    assert gateway_problems(FRESH | {"packets": [out]}, alone, ARTIFACT) == []
    assert len(gateway_problems(FRESH | {"packets": [mesh]}, alone, ARTIFACT)) == 1


def test_what_nobody_can_tell_of_a_firewall_is_a_doubt() -> None:
    seen = WORKING | {
        "packets": [arrival("perhaps"), arrival("dropped", chain("nft", "in", "inet", "mine"), version=6)],
        "unread_tables": ["ip filter"],
    }
    by_policy, by_version, unread = firewall.gateway_doubts(seen, SETTINGS)
    assert by_policy.startswith("ufw (table filter, chain INPUT) perhaps drops what comes for UDP port 51820: ")
    assert by_version.startswith("nft (table inet mine, chain in) perhaps drops ")
    assert unread == "the tables ip filter of legacy iptables cannot be read: install iptables-legacy-save"
    parts = gateway_parts(seen, SETTINGS, ARTIFACT, READY, NODE)
    (line,) = [line for line in gateway_report(parts) if line.startswith("the host's firewall")]
    assert line.startswith("the host's firewall: works, as far as anybody can tell; ufw (table filter, chain INPUT) ")
    assert all(part["works"] for part in parts)


def test_packets_that_have_to_come_in() -> None:
    ways = ALL_WAYS | {"endpoint": "[2001:db8::1]:51820"}
    assert [(one["protocol"], one["port"], one["address"]) for one in firewall.gateway_arrivals(ways)] == [
        ("udp", 51820, "2001:db8::1"),
        ("udp", 1194, "2001:db8::1"),
        ("tcp", 443, "2001:db8::1"),
        ("udp", 500, "2001:db8::1"),
        ("udp", 4500, "2001:db8::1"),
        ("tcp", 8080, "10.0.0.5"),
    ]
    behind_a_proxy = {"http_host": "127.0.0.1"}
    assert [one["port"] for one in firewall.gateway_arrivals(SETTINGS | behind_a_proxy)] == [51820]


LXC = "/run/systemd/system/service.d/zzz-lxc-service.conf"


def test_a_drop_in_that_takes_the_keys_is_named() -> None:
    lost = {"LoadCredential": LXC}
    assert problems(taken_back={AGENT: lost, KEYS: lost, "meshgate-openvpn.service": lost}) == [
        f"{LXC} takes LoadCredential= from meshgate-agent.service, which cannot do without: `mkdir -p "
        "/etc/systemd/system/meshgate-.service.d && ln -s /dev/null "
        "/etc/systemd/system/meshgate-.service.d/zzz-lxc-service.conf` keeps it from Meshgate's units."
    ]
    own = {AGENT: {"User": "/etc/systemd/system/service.d/user.conf"}}
    assert problems(taken_back=own)[0].endswith("which cannot do without: take User= out of it.")
    key_service = {"http_host": "10.0.0.5", "http_port": 8082, "probe_port": 8083}
    assert len(key_problems(FRESH | {"taken_back": {KEYS: lost}}, key_service, ARTIFACT)) == 1


def test_a_file_that_switches_forwarding_off_at_boot_is_named() -> None:
    assert problems(later_sysctls=OFF_LATER) == [
        "/etc/sysctl.d/99-cis.conf sets net.ipv4.ip_forward to 0 at each boot, after 60-meshgate.conf: take that line "
        "away, or give it the value 1."
    ]
    on = {name: later | {"value": "1"} for name, later in OFF_LATER.items()}
    assert problems(later_sysctls=on) == []
    ipv6 = {"net/ipv6/conf/all/forwarding": OFF_LATER["net/ipv4/ip_forward"]}
    assert len(problems(later_sysctls=ipv6)) == 1
    only_ipv4 = SETTINGS | {"client_networks": ["10.77.0.0/16"]}
    assert gateway_problems(FRESH | {"later_sysctls": ipv6}, only_ipv4, ARTIFACT) == []


def test_what_keeps_a_host_from_running_a_key_service() -> None:
    settings = {"http_host": "10.0.0.5", "http_port": 8082, "probe_port": 8083}

    def found(**differences: object) -> list[str]:
        return key_problems(FRESH | {"tun": False, "tailscaled": ""} | differences, settings, ARTIFACT)

    assert found() == [], "it needs nothing of a gateway's"
    assert found(sockets=[socket("tcp", 8082, "10.0.0.5", unit=KEYS), socket("tcp", 8080)]) == []
    assert found(sockets=[socket("tcp", 8082, unit=AGENT), socket("tcp", 8083, "::")]) == [
        "TCP port 8082, the API's, is taken by nginx: end that, or choose another port in meshgate_keys_url.",
        "TCP port 8083, the probes', is taken by nginx: end that, or choose another meshgate_keys_probe_port.",
    ]
    old, other = found(systemd=245, architecture="aarch64")
    assert old == "systemd 245 is too old: Meshgate's units need 247 or later."
    assert other.startswith("The artifact is made for x86_64, but this host is aarch64: ")


def test_a_gateway_takes_no_port_of_a_key_service() -> None:
    (line,) = problems(sockets=[socket("tcp", 8080, "10.0.0.5", process="python3", unit=KEYS)])
    assert line.startswith("TCP port 8080, the peer API's, is taken by python3: ")


def test_units_are_verified_without_their_neighbours_where_that_can_be_said() -> None:
    assert gateway_verify_unit({"systemd": 252}) == "systemd-analyze verify --recursive-errors=no %s"
    assert gateway_verify_unit({"systemd": 249}) == "systemd-analyze verify %s"


def test_a_named_tailscaled_and_a_demanded_kernel() -> None:
    assert gateway_problems(FRESH | {"tailscaled": ""}, SETTINGS, ARTIFACT, "/home/me/tailscaled") == []
    first = SETTINGS["wireguard"]["wireguard"]
    demanding = SETTINGS | {"wireguard": {"wireguard": first | {"environment": {"MESHGATE_WIREGUARD": "kernel"}}}}
    (line,) = gateway_problems(FRESH, demanding, ARTIFACT)
    assert line.startswith("The kernel has no WireGuard, which `wireguard: kernel` demands; ")
    assert gateway_problems(FRESH | {"kernel_wireguard": True}, demanding, ARTIFACT) == []


def test_an_issuing_certificate_that_certifies_nobody_is_refused() -> None:
    """Before anything is touched, and not only by the agent that cannot use it."""
    settings = ALL_WAYS | {"issuing_problem": "the gateway's issuing certificate has ended"}
    assert gateway_problems(FRESH, settings, ARTIFACT) == [
        "meshgate_issuing_certificate, meshgate_issuing_key: the gateway's issuing certificate has ended."
    ]


def test_a_plain_gateway_needs_no_tailscaled_and_no_tailnet() -> None:
    in_no_mesh = WORKING | {
        "tailscale": None,
        "tailscaled": "",
        "interfaces": {"lo": "", "eth0": "", "meshgate0": "tun"},
        "units": WORKING["units"] | {TAILSCALE: OFF},
    }
    elsewhere = {"sockets": [*WORKING["sockets"], socket("udp", 41642)]}
    assert gateway_problems(in_no_mesh | elsewhere, PLAIN, ARTIFACT) == []
    parts = gateway_parts(in_no_mesh, PLAIN, ARTIFACT, READY, {"skipped": True})
    assert [part["part"] for part in parts if not part["works"]] == []
    assert not any("tailscale" in part["part"] or "Headscale" in part["part"] for part in parts)
    joined = in_no_mesh | {"vendor_tailscale": {"state": "Running", "joined": True, "url": ""}}
    assert gateway_problems(joined, PLAIN, ARTIFACT), "clients would be let into that tailnet"


def broken(readiness: object = READY, node: object = NODE, **differences: object) -> dict[str, str]:
    parts = gateway_parts(WORKING | differences, SETTINGS, ARTIFACT, readiness, node)  # type: ignore[arg-type]
    assert len(gateway_report(parts)) == len(parts) == 13
    return {part["part"]: part["why"] for part in parts if not part["works"]}


def test_a_working_gateway_has_no_broken_part() -> None:
    assert broken() == {}
    assert broken(node={"skipped": True}) == {}


@pytest.mark.parametrize(
    ("differences", "part", "why"),
    [
        ({"tun": False}, "distribution", "There is no usable /dev/net/tun"),
        ({"releases": []}, "artifact", "it is not unpacked"),
        ({"releases": ["0123456789ab"]}, "artifact", f"the host has 0123456789ab, the controller {RELEASE}"),
        ({"units": WORKING["units"] | {AGENT: OFF}}, AGENT, "it does not run"),
        (
            {"units": WORKING["units"] | {TAILSCALE: {"active": True, "enabled": False}}},
            TAILSCALE,
            "it will not start at boot",
        ),
        ({"interfaces": {"lo": ""}}, "interface meshgate0", "it is not there"),
        ({"sockets": []}, "UDP port 51820", "nothing listens on it"),
        ({"sockets": [socket("udp", 51820)]}, "UDP port 51820", "nginx listens on it, not the gateway"),
        ({"tables": ["ip filter"]}, "nft table inet meshgate", "it is not there"),
        ({"tables": None}, "nft table inet meshgate", "there is no nft"),
        (
            {"sysctls": {"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "0"}},
            "forwarding",
            "net.ipv6.conf.all.forwarding must be 1",
        ),
        ({"later_sysctls": OFF_LATER}, "forwarding", "/etc/sysctl.d/99-cis.conf sets net.ipv4.ip_forward to 0 at"),
        ({"packets": [arrival("dropped")]}, "the host's firewall", "ufw (table filter, chain INPUT) drops what comes"),
        ({"tailscale": None}, "tailscaled", "it does not answer"),
        (
            {"tailscale": WORKING["tailscale"] | {"state": "NeedsLogin", "joined": False}},
            "tailscaled",
            "it is not connected, its state is NeedsLogin",
        ),
        (
            {"tailscale": WORKING["tailscale"] | {"url": "https://other.test"}},
            "tailscaled",
            "it is connected to https://other.test, not to https://headscale.test",
        ),
        ({"node": {"failed": True, "msg": "Headscale is away."}}, "exit node in Headscale", "Headscale is away."),
        ({"node": {"node": None}}, "exit node in Headscale", "Headscale has no such node"),
        (
            {"node": {"node": NODE["node"] | {"node_key": "nodekey:2"}}},
            "exit node in Headscale",
            "Headscale's node 7 of that name has another key than this host",
        ),
        (
            {"node": {"node": NODE["node"] | {"exit_node": False}}},
            "exit node in Headscale",
            "its exit routes are not approved",
        ),
        (
            {"node": {"node": NODE["node"] | {"online": False}}},
            "exit node in Headscale",
            "Headscale does not see it",
        ),
        (
            {"readiness": {"status": 503, "json": {"missing": ["this", "that"]}}},
            "peer API http://10.0.0.5:8080",
            "this; ",
        ),
        (
            {"readiness": {"status": -1, "msg": "refused"}},
            "peer API http://10.0.0.5:8080",
            "it does not answer: refused",
        ),
    ],
)
def test_each_part_says_why_it_does_not_work(differences: dict[str, object], part: str, why: str) -> None:
    found = broken(**differences)
    assert list(found) == [part]
    assert found[part].startswith(why)


def test_an_artifact_that_is_missing_is_a_part_too() -> None:
    parts = gateway_parts(WORKING, SETTINGS, {"failed": True, "msg": "There is none."}, READY, NODE)
    assert [part["why"] for part in parts if not part["works"]] == ["There is none."]


def test_the_agent_with_a_certificate_listens_where_the_url_says() -> None:
    changed = gateway_tls_listener(SETTINGS | {"peers_url": "https://gateway.test:8443"})
    assert (changed["http_host"], changed["http_port"]) == (EVERY_ADDRESS, 8443)
    told = {name: changed["environment"][name] for name in ("MESHGATE_HTTP_HOST", "MESHGATE_HTTP_PORT")}
    assert told == {"MESHGATE_HTTP_HOST": EVERY_ADDRESS, "MESHGATE_HTTP_PORT": "8443"}
    assert gateway_probe_url(changed) == "http://127.0.0.1:8081"
    assert gateway_tls_listener(SETTINGS | {"peers_url": "https://gateway.test"})["http_port"] == 443
    with pytest.raises(AnsibleFilterError, match="no https:// URL"):
        gateway_tls_listener(SETTINGS)


def test_where_the_agent_answers_on_the_host() -> None:
    assert gateway_probe_url(SETTINGS) == "http://10.0.0.5:8081"
    assert gateway_probe_url(SETTINGS | {"http_host": "fd00::5"}) == "http://[fd00::5]:8081"


def test_os_release_is_read_with_and_without_quotes() -> None:
    text = 'PRETTY_NAME="Ubuntu 22.04.4 LTS"\nVERSION_ID="22.04"\nID=ubuntu\nID_LIKE=debian\n'
    assert host_module.distribution(text) == {"id": "ubuntu", "version": "22.04", "name": "Ubuntu 22.04.4 LTS"}
    assert host_module.distribution("") == {"id": "", "version": "", "name": ""}


def test_addresses_of_proc_net() -> None:
    assert network.readable("0100007F") == "127.0.0.1"
    assert network.readable("00000000000000000000000001000000") == "::1"
    assert network.readable("0000000000000000FFFF00000500000A") == "10.0.0.5"


def test_networks_are_those_of_addresses_and_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "address": [
            {
                "ifname": "eth0",
                "addr_info": [{"local": "10.0.0.5", "prefixlen": 24}, {"local": "fe80::1", "prefixlen": 64}],
            }
        ],
        "-4": [
            {"dst": "default", "dev": "eth0"},
            {"dst": "10.0.0.0/24", "dev": "eth0"},
            {"dst": "10.9.0.0/16", "gateway": "10.0.0.1", "dev": "eth0"},
            {"dst": "10.0.0.5", "dev": "eth0", "type": "local"},
            {"dst": "192.0.2.0/24", "type": "blackhole"},
        ],
        "-6": [{"dst": "ff00::/8", "dev": "eth0", "type": "anycast"}],
    }
    monkeypatch.setattr(tools, "output", lambda _, __, what, *___: json.dumps(answers[what]))
    assert network.networks() == [
        {"network": "10.0.0.0/24", "device": "eth0"},
        {"network": "10.9.0.0/16", "device": "eth0"},
        {"network": "192.0.2.0/24", "device": "no device"},
        {"network": "fe80::/64", "device": "eth0"},
    ]


def test_a_name_is_looked_up_where_a_host_has_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "resolved", {"vpn.example.com": ["203.0.113.1"]}.__getitem__)
    assert network.dialled("vpn.example.com", choice=True) == ["203.0.113.1"]
    assert network.dialled("vpn.example.com", choice=False) == []
    assert network.dialled("2001:DB8::1", choice=True) == ["2001:db8::1"]
    monkeypatch.undo()
    assert network.resolved("192.0.2.7") == ["192.0.2.7"]
    assert network.resolved("127.0.0.1") == [], "as a host calls itself"


def test_the_release_of_the_interface_is_read_from_its_unit(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:  # noqa: ANN401
    monkeypatch.setattr(host_units, "UNIT_FILES", tmp_path)
    root = Path("/opt/meshgate")
    assert host_units.release_of(host_units.UNITS[0], root) == ""
    (tmp_path / host_units.UNITS[0]).write_text(f"[Service]\nRootDirectory=/opt/meshgate/{RELEASE}\n")
    assert host_units.release_of(host_units.UNITS[0], root) == RELEASE
    assert host_units.release_of(host_units.UNITS[0], Path("/opt/meshgate-keys")) == ""


def test_the_module_documents_its_options() -> None:
    known = {"udp_ports", "tcp_ports", "interfaces", "arrivals", "client_networks", "root"}
    assert set(documented_options(host_module)) == known
