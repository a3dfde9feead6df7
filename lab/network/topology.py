"""The lab's network: three namespaces around one bridge, and clients and machines that join it.

    host ── 10.213.0.254 ─┐
    mg-peer ─ 10.213.0.10 ┼─ lan ─ 10.213.0.1 ─ mg-node ─ 198.51.100.1 ── 198.51.100.2 ─ mg-internet
    mg-client-* ── .100 + ┤                                                                  │
    machines ────── .20 + ┴──────────────────────────── 203.0.113.20 + ──────── 203.0.113.1 ─┘

Pods live behind the node, which masquerades them; a bare-metal machine has a line of its own. The
Internet host knows no way back to the lan, and clients have no default route. So one reaches the
other only through a gateway's masquerade.
"""

from pathlib import Path

from console.run import capture
from lab import machine_changes
from lab.network import ip
from lab.network.sandbox import in_network

NODE, MESH_PEER, INTERNET = "mg-node", "mg-peer", "mg-internet"
"""The network namespaces of the cluster's node, the mesh peer and the Internet host."""

NODE_IPV4, NODE_IPV6 = "10.213.0.1", "fd10:213::1"
HOST_IPV4, HOST_IPV6 = "10.213.0.254", "fd10:213::fe"
MESH_PEER_IPV4, MESH_PEER_IPV6 = "10.213.0.10", "fd10:213::a"
INTERNET_IPV4, INTERNET_IPV6 = "198.51.100.2", "2001:db8:100::2"
UPLINK_IPV4, UPLINK_IPV6 = "198.51.100.1", "2001:db8:100::1"
LAN = ("10.213.0.0/24", "fd10:213::/64")
"""The only network of the lab that the host itself is part of."""
POD_IPV4, POD_IPV6 = "10.244.0.0/24", "fd44:244::/64"
SERVICE_IPV4, SERVICE_IPV6 = "10.96.0.0/16", "fd96::/112"

CLIENT_PREFIX = "mg-client-"
MACHINES, CLIENTS = range(20, 30), range(100, 200)
"""Host numbers on the lan that bare-metal machines and clients take."""

METAL = "mg-metal"
"""A bare-metal machine's namespace, which has this name only where the machine runs."""

HOST_PORT = "mg-host"
"""The host's own interface on the lan, the only one that the lab adds to the root namespace."""

NODE_MAC = "02:00:00:00:00:01"
"""The node's on the lan. A bridge without one of its own changes it as ports come and go, and neighbours lose it."""

_LINKS = f"""
netns add {NODE}
netns add {MESH_PEER}
netns add {INTERNET}
link add {HOST_PORT} type veth peer name host netns {NODE}
link add eth0 netns {MESH_PEER} type veth peer name peer netns {NODE}
link add eth0 netns {INTERNET} type veth peer name internet netns {NODE}
address add {HOST_IPV4}/24 dev {HOST_PORT}
address add {HOST_IPV6}/64 dev {HOST_PORT} nodad
link set {HOST_PORT} up
"""

_NODE = f"""
link set lo up
link add lan address {NODE_MAC} type bridge
link set host master lan up
link set peer master lan up
link set lan up
link set internet up
address add {UPLINK_IPV4}/24 dev internet
address add {UPLINK_IPV6}/64 dev internet nodad
route add default via {INTERNET_IPV4}
route add default via {INTERNET_IPV6}
address add {NODE_IPV4}/24 dev lan
address add {NODE_IPV6}/64 dev lan nodad
"""

_MESH_PEER = f"""
link set lo up
link set eth0 up
address add {MESH_PEER_IPV4}/24 dev eth0
address add {MESH_PEER_IPV6}/64 dev eth0 nodad
"""

_INTERNET = f"""
link set lo up
link set eth0 up
address add {INTERNET_IPV4}/24 dev eth0
address add {INTERNET_IPV6}/64 dev eth0 nodad
"""

_FORWARDING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

_LAST_ADDRESS = {NODE: NODE_IPV6, MESH_PEER: MESH_PEER_IPV6, INTERNET: INTERNET_IPV6}
"""What is set last in each namespace: with it the namespace is complete."""


def on_lan(number: int) -> tuple[str, str]:
    """Return the addresses of a host number on the lan: IPv4, IPv6."""
    return f"10.213.0.{number}", f"fd10:213::{number:x}"


def on_line(number: int) -> tuple[str, str]:
    """Return the addresses that a bare-metal machine has at the Internet host: IPv4, IPv6."""
    return f"203.0.113.{number}", f"2001:db8:113::{number:x}"


def complete() -> bool:
    """Say whether the whole network is there, as a finished `up` left it."""
    existing = namespaces()
    return all(
        namespace in existing and address in ip.addresses(namespace) for namespace, address in _LAST_ADDRESS.items()
    )


def up() -> None:
    """Make the network; what a killed run left half-done is made anew (nothing may run in it)."""
    if complete():
        return
    down()
    if not Path("/proc/sys/net/bridge").exists():
        # Without it a pod's answer to a pod of the same node passes by the Service's address translation.
        machine_changes.note(machine_changes.ChangeKind.MODULES, ["br_netfilter"])
        capture(["modprobe", "br_netfilter"], doing="load the kernel module that shows bridged packets to iptables")
    ip.run(_LINKS)
    ip.run(_NODE, NODE)
    ip.run(_MESH_PEER, MESH_PEER)
    ip.run(_INTERNET, INTERNET)
    capture([*in_network(NODE), "sysctl", "-q", "-w", *_FORWARDING], doing="let the lab's node forward")


def down() -> None:
    """Remove every namespace of the lab, with all interfaces, routes and rules in them."""
    for namespace in namespaces():
        ip.run(f"netns delete {namespace}")
    ip.delete_link(HOST_PORT)


def namespaces() -> list[str]:
    """Return the names of the lab's network namespaces."""
    names = [entry["name"] for entry in ip.listed("netns", "list")]
    return [name for name in names if name in _LAST_ADDRESS or name.startswith(CLIENT_PREFIX)]
