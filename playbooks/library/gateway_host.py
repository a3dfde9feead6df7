"""Ansible module: collects what a host has of what a gateway needs, and of a gateway itself.

It judges nothing: playbooks/filter_plugins/gateway_problems.py and gateway_parts.py do.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.meshgate_drop_ins import later_assignments, taken_back
from ansible.module_utils.meshgate_filters import ruleset, rulesets
from ansible.module_utils.meshgate_network import networks, ra_interfaces, sockets, sysctl
from ansible.module_utils.meshgate_packets import packets
from ansible.module_utils.meshgate_tailscale import SOCKET, seen
from ansible.module_utils.meshgate_tools import listed, output
from ansible.module_utils.meshgate_units import (
    KEYS_UNIT,
    OUTLIVING,
    UNITS,
    VENDOR_UNIT,
    release_of,
    units,
    vendor_tailscale,
)

DOCUMENTATION = r"""
module: gateway_host
short_description: What a host has of a gateway, and what it has of what one needs
description:
  - Looks, and changes nothing. Needs root, Python 3.9, C(ip) of iproute2, and C(systemctl); C(nft) is taken from the
    gateway's own files where the host has none.
author: Meshgate
extends_documentation_fragment: meshgate_looks
options:
  udp_ports:
    description: The UDP ports of interest.
    type: list
    elements: int
    default: []
  tcp_ports:
    description: The TCP ports of interest.
    type: list
    elements: int
    default: []
  interfaces:
    description: Names of the interfaces that clients come in by.
    type: list
    elements: str
    default: [meshgate0]
  arrivals:
    description: The packets of strangers that the host's packet filters have to let in.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: V(udp) or V(tcp).
        type: str
        required: true
      port:
        description: The port that they are for.
        type: int
        required: true
      address:
        description: The address or name that they are sent to.
        type: str
        required: true
  client_networks:
    description: The networks of clients, whose packets are forwarded.
    type: list
    elements: str
    default: []
  root:
    description: Where artifacts are unpacked.
    type: path
    default: /opt/meshgate
"""

EXAMPLES = r"""
- name: Look at the host
  gateway_host:
    udp_ports: [51820, 41642]
    tcp_ports: [8080]
  register: host
"""

RETURN = r"""
distribution: {description: "id, version and name of os-release.", returned: success, type: dict}
architecture: {description: As of uname., returned: success, type: str, sample: x86_64}
systemd: {description: Its version., returned: success, type: int, sample: 252}
tun: {description: Whether /dev/net/tun can be opened., returned: success, type: bool}
kernel_wireguard: {description: Whether the kernel has WireGuard., returned: success, type: bool}
tailscaled: {description: Path of the tailscaled that is installed., returned: success, type: str}
releases: {description: Artifacts that are unpacked here., returned: success, type: list}
unit_releases:
  description: Which of them the units of WireGuard, OpenVPN and IPsec use; empty of a unit that is not there.
  returned: success
  type: dict
  sample: {wireguard: 97afef5b31cc, wireguard-1: "", openvpn: "", ipsec: ""}
units: {description: "Of each unit of ours, and of tailscaled.service: active, enabled.", returned: success, type: dict}
interfaces: {description: Kind of each network interface., returned: success, type: dict}
networks: {description: "Networks that the host has a route or an address in, each with its device.", type: list}
sockets: {description: "Who has the ports of interest: protocol, port, address, process, unit.", type: list}
sysctls: {description: The forwarding switches., returned: success, type: dict}
ra_interfaces: {description: Interfaces whose IPv6 routes the kernel has from router advertisements., type: list}
tailscale: {description: "Of our tailscaled: state, joined, preferences and more; null if there is none.", type: dict}
vendor_tailscale: {description: The same of the host's own., returned: success, type: dict}
tables: {description: "Names of the nft tables; null when there is no nft yet.", returned: success, type: list}
packets:
  description:
    - What the packet filters do to each kind of packet that a gateway lives on. It arrives at a C(port), or goes
      C(from) interfaces C(to) others.
    - C(outcome) is V(passed), V(dropped), or V(perhaps) where that cannot be told. C(chains) are those to blame.
  returned: success
  type: list
unread_tables: {description: Tables of legacy iptables that no tool here can read., returned: success, type: list}
taken_back:
  description: Of each unit of ours, the directives that drop-ins take back, each with the drop-in.
  returned: success
  type: dict
  sample: {meshgate-agent.service: {LoadCredential: /run/systemd/system/service.d/zzz-lxc-service.conf}}
later_sysctls:
  description: What files set forwarding to at the next boot after the gateway's own has.
  returned: success
  type: dict
  sample: {net/ipv4/ip_forward: {file: /etc/sysctl.d/99-cis.conf, value: "0"}}
"""

VENDOR_BINARY = Path("/usr/sbin/tailscaled")
TUN = os.makedev(10, 200)
"""kernel: devices.txt"""
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
FORWARDING_AT_BOOT = (
    *("net/ipv4/ip_forward", "net/ipv4/conf/all/forwarding", "net/ipv4/conf/default/forwarding"),
    *("net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/forwarding"),
)
"""By what a file of sysctl.d can switch it; interfaces that are made later are as the default is."""
SYSCTLS = "60-meshgate.conf"
"""The gateway's own file there (playbooks/roles/wireguard)."""


def distribution(text: str) -> dict[str, str]:
    """Id, version and name out of os-release."""
    found = dict(re.findall(r'^([A-Z_]+)="?(.*?)"?$', text, re.MULTILINE))
    return {"id": found.get("ID", ""), "version": found.get("VERSION_ID", ""), "name": found.get("PRETTY_NAME", "")}


def has_tun() -> bool:
    """Whether the TUN device is there and may be used: in some containers it is only there."""
    device = Path("/dev/net/tun")
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError:
        return False
    return device.stat().st_rdev == TUN


def has_kernel_wireguard() -> bool:
    """Whether the kernel has WireGuard, loaded or not."""
    if Path("/sys/module/wireguard").is_dir():
        return True
    try:
        return subprocess.run(["modprobe", "-n", "-q", "wireguard"], check=False, timeout=30).returncode == 0
    except OSError:
        return False


def look(
    interfaces: list[str],
    udp_ports: list[int],
    tcp_ports: list[int],
    arrivals: list[dict[str, Any]],
    client_networks: list[str],
    root: str,
) -> dict[str, Any]:
    """Everything."""
    of_units = units()
    releases = sorted(path for path in Path(root).glob("[0-9a-f]*") if re.fullmatch(r"[0-9a-f]{12}", path.name))
    rules = ruleset(releases)
    sets, unread = rulesets(rules, output)
    systemd = re.search(r"systemd (\d+)", output("systemctl", "--version"))
    return {
        "distribution": distribution(Path("/etc/os-release").read_text()),
        "architecture": platform.machine(),
        "systemd": int(systemd.group(1)) if systemd else 0,
        "tun": has_tun(),
        "kernel_wireguard": has_kernel_wireguard(),
        "tailscaled": str(VENDOR_BINARY) if VENDOR_BINARY.exists() else "",
        "releases": [release.name for release in releases],
        "unit_releases": {name: release_of(f"meshgate-{name}.service", Path(root)) for name in OUTLIVING},
        "units": of_units,
        "interfaces": {
            link["ifname"]: link.get("linkinfo", {}).get("info_kind", "") for link in listed("-details", "link", "show")
        },
        "networks": networks(),
        "sockets": [*sockets("udp", udp_ports), *sockets("tcp", tcp_ports)],
        "sysctls": {name: sysctl(name) for name in FORWARDING},
        "ra_interfaces": ra_interfaces(),
        "tailscale": seen(SOCKET),
        "vendor_tailscale": vendor_tailscale(of_units[VENDOR_UNIT]),
        "tables": None if rules is None else [f"{t['family']} {t['name']}" for e in rules if (t := e.get("table"))],
        "packets": packets(sets, interfaces, arrivals, client_networks),
        "unread_tables": unread,
        "taken_back": {unit: lost for unit in (*UNITS, KEYS_UNIT) if (lost := taken_back(unit))},
        "later_sysctls": later_assignments(SYSCTLS, FORWARDING_AT_BOOT),
    }


def main() -> None:
    """Run as a module."""
    arguments = {
        "udp_ports": {"type": "list", "elements": "int", "default": []},
        "tcp_ports": {"type": "list", "elements": "int", "default": []},
        "interfaces": {"type": "list", "elements": "str", "default": ["meshgate0"]},
        "arrivals": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "protocol": {"type": "str", "required": True},
                "port": {"type": "int", "required": True},
                "address": {"type": "str", "required": True},
            },
        },
        "client_networks": {"type": "list", "elements": "str", "default": []},
        "root": {"type": "path", "default": "/opt/meshgate"},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    if os.geteuid() != 0:
        module.fail_json(msg="Only root can look at all of this host: let the play become root (become: true).")
    module.exit_json(changed=False, **look(**module.params))


if __name__ == "__main__":
    main()
