"""Ansible module: collects what a host has of what a gateway needs, and of a gateway itself.

It judges nothing: playbooks/filter_plugins/gateway_checks.py does.
"""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import re
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils import meshgate_filters as filters
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.meshgate_drop_ins import later_assignments, taken_back
from ansible.module_utils.meshgate_tailscale import SOCKET, seen

DOCUMENTATION = r"""
module: gateway_host
short_description: What a host has of a gateway, and what it has of what one needs
description:
  - Looks, and changes nothing. Needs root, Python 3.9, C(ip) of iproute2, and C(systemctl); C(nft) is taken from the
    gateway's own files where the host has none.
author: Meshgate
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
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: There is nothing to show.
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
  sample: {wireguard: 97afef5b31cc, openvpn: "", ipsec: ""}
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

UNIT_FILES = Path("/etc/systemd/system")
OUTLIVING = ("wireguard", "openvpn", "ipsec")
"""Those of our units that a newer artifact need not restart."""
UNITS = tuple(f"meshgate-{name}.service" for name in (*OUTLIVING, "agent", "tailscale"))
KEYS_UNIT = "meshgate-keys.service"
VENDOR_UNIT = "tailscaled.service"
VENDOR_SOCKET, VENDOR_STATE = Path("/run/tailscale/tailscaled.sock"), Path("/var/lib/tailscale/tailscaled.state")
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
MESH_INTERFACE = "tailscale0"
LIBNFTABLES = "import nftables; n = nftables.Nftables(); n.set_json_output(True); print(n.cmd('list ruleset')[1])"
"""firewalld brings no `nft`, but this."""
LISTENING, UNCONNECTED = "0A", "07"
"""States of sockets in /proc/net (include/net/tcp_states.h)."""


def vendor_tailscale(unit: dict[str, bool]) -> dict[str, Any] | None:
    """The host's own tailscaled, as it runs or will run after the next boot; None if it is not to run."""
    if unit["active"]:
        return seen(VENDOR_SOCKET) or {"state": "", "joined": False, "url": ""}
    if not unit["enabled"]:
        return None
    try:
        state = json.loads(VENDOR_STATE.read_text())
    except (OSError, ValueError):
        state = {}
    return {"state": "off", "joined": bool(state.get("_current-profile")), "url": ""}


def output(*command: str) -> str:
    """What a tool prints; nothing if it fails or is not there."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def listed(*command: str) -> list[dict[str, Any]]:
    """The JSON list that `ip` prints."""
    found: list[dict[str, Any]] = json.loads(output("ip", "-json", *command) or "[]")
    return found


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


def units() -> dict[str, dict[str, bool]]:
    """Whether each unit is active, and whether it is to start at boot."""
    shown = output("systemctl", "show", "--property=Id,ActiveState,UnitFileState", *UNITS, VENDOR_UNIT)
    found = {}
    for block in shown.strip().split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        active, enabled = unit.get("ActiveState"), unit.get("UnitFileState")
        found[unit.get("Id", "")] = {
            "active": active in {"active", "reloading"},
            "enabled": enabled in {"enabled", "enabled-runtime"},
        }
    return {name: found.get(name, {"active": False, "enabled": False}) for name in (*UNITS, VENDOR_UNIT)}


def release_of(unit: str, root: Path) -> str:
    """The release that a unit uses, which may be older than the agent's."""
    try:
        text = (UNIT_FILES / unit).read_text()
    except OSError:
        return ""
    found = re.search(rf"^RootDirectory={root}/(\w+)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def networks() -> list[dict[str, str]]:
    """Where the host's own packets go: networks of its addresses and routes, but for default routes."""
    found = {
        (str(ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}").network), link["ifname"])
        for link in listed("address", "show")
        for address in link.get("addr_info", ())
        if "local" in address
    }
    for family in ("-4", "-6"):
        for route in listed(family, "route", "show", "table", "all"):
            if route["dst"] != "default" and route.get("type", "unicast") not in {"local", "broadcast", "anycast"}:
                found.add((str(ipaddress.ip_network(route["dst"])), route.get("dev", "no device")))
    return [{"network": network, "device": device} for network, device in sorted(found)]


def sockets(protocol: str, ports: Iterable[int]) -> list[dict[str, Any]]:
    """Who listens on these ports."""
    state = LISTENING if protocol == "tcp" else UNCONNECTED
    found = []
    for file in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        lines = Path(file).read_text().splitlines()[1:] if Path(file).exists() else []
        for words in map(str.split, lines):
            address, port = words[1].split(":")
            if words[3] == state and int(port, 16) in ports:
                owner = {"protocol": protocol, "port": int(port, 16), "address": readable(address)}
                found.append({**owner, **process(words[9])})
    return found


def readable(address: str) -> str:
    """An address as /proc/net writes it: 32 bits at a time, each in the machine's byte order."""
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    found = ipaddress.ip_address(b"".join(words))
    return str(getattr(found, "ipv4_mapped", None) or found)


def process(inode: str) -> dict[str, str]:
    """The process that has a socket, and its systemd unit; empty for the kernel's own."""
    wanted = f"socket:[{inode}]"
    for directory in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):  # a process may end meanwhile
            if wanted in links(directory):
                cgroups = (directory.parent / "cgroup").read_text()
                unit = re.search(r"/([^/\n]+\.(?:service|scope))", cgroups)
                name = (directory.parent / "comm").read_text().strip()
                return {"process": name, "unit": unit.group(1) if unit else ""}
    return {"process": "", "unit": ""}


def links(directory: Path) -> Iterator[str]:
    """What the files of a process are."""
    for entry in directory.iterdir():
        with suppress(OSError):
            yield str(entry.readlink())


def sysctl(name: str) -> str:
    """A switch of the kernel; empty if it has none of that name."""
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return ""


def ra_interfaces() -> list[str]:
    """Interfaces on which the kernel itself takes routes from router advertisements: accept_ra is 1, or our 2."""
    advertised = {route.get("dev", "") for route in listed("-6", "route", "show", "proto", "ra")}
    return sorted(name for name in advertised if name and sysctl(f"net.ipv6.conf.{name}.accept_ra") in {"1", "2"})


def ruleset(releases: list[Path]) -> list[dict[str, Any]] | None:
    """Everything that nft lists; None without an nft."""
    of_python = ["/usr/bin/python3", "-c", LIBNFTABLES]
    for command in (["nft"], *(["chroot", str(release), "nft"] for release in releases), of_python):
        if text := output(*command, "-j", "list", "ruleset"):
            found: list[dict[str, Any]] = json.loads(text)["nftables"]
            return found
    return None


def default_routes() -> dict[int, list[str]]:
    """The interfaces of the default routes, by IP version."""
    return {
        version: sorted({route["dev"] for route in listed(f"-{version}", "route", "show", "default") if "dev" in route})
        for version in (4, 6)
    }


def resolved(host: str) -> list[str]:
    """The addresses of a name, as others see it: a host's own name is often its loopback to itself."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    addresses = {str(address[0]).partition("%")[0] for *_, address in found}
    return sorted(address for address in addresses if not ipaddress.ip_address(address).is_loopback)


def dialled(host: str, choice: bool) -> list[str]:
    """The addresses that an endpoint's host stands for. A name is asked for only where there is a choice."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return resolved(host) if choice else []


def packets(
    sets: dict[str, filters.Entries], interfaces: list[str], arrivals: list[dict[str, Any]], networks: list[str]
) -> list[dict[str, Any]]:
    """What becomes of clients' packets: of new ones to the ports, of what is forwarded, and of answers."""
    links = {
        link["ifname"]: [address["local"] for address in link.get("addr_info", ()) if "local" in address]
        for link in listed("address", "show")
    }
    routes = default_routes()
    choice = len(links.keys() - {"lo", MESH_INTERFACE, *interfaces}) > 1
    addresses = {host: dialled(host, choice) for host in {wanted["address"] for wanted in arrivals}}
    found = [
        {**wanted, **filters.judged(sets, packet)}
        for wanted in arrivals
        for packet in filters.arrivals({**wanted, "addresses": addresses[wanted["address"]]}, links, routes)
    ]
    # tailscaled opens iptables for its own interface, so before that is there nothing can be said of it.
    mesh = [[MESH_INTERFACE]] if MESH_INTERFACE in links else []
    for network in networks:
        for outlets in (routes[ipaddress.ip_network(network).version], *mesh):
            for way in interfaces if outlets else ():
                for packet in filters.passages(way, outlets, network):
                    ends = {"from": list(packet.iif or ()), "to": list(packet.oif or ())}
                    found.append(ends | filters.judged(sets, packet))
    return found


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
    sets, unread = filters.rulesets(rules, output)
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
