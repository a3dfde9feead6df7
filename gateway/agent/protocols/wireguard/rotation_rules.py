"""What nft does while a key is rotated: answers to a device leave by the interface that it came in by last.

A set has the addresses of devices that use the previous key. It learns from each packet that comes out of a tunnel:
WireGuard has checked whose it is. What is for one of these is marked, and the mark leads to the previous interface.
Everything else goes by the main table to the present one, so the end of the previous key changes nothing for others.
"""

from gateway.agent.endpoints import WireGuardIdentity

TABLE = ("inet", "meshgate_rotation")
MARK = 0x2
"""One bit, which is neither in tailscaled's 0xff0000, nor in wg-quick's 0xca6c, nor kube-proxy's 0xc000."""
LOG_GROUP = 5182
"""Where NFLOG says that a device may have moved (`answers`)."""
VERSIONS = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}

# Sets that are there keep their elements, so an agent that starts again goes on with what was learned meanwhile.
# An answer to masqueraded traffic has its device's address only after conntrack: hence the first priority.
_RULES = """
add table inet meshgate_rotation
add set inet meshgate_rotation {set4} {{ type ipv4_addr; flags dynamic; size 65535; }}
add set inet meshgate_rotation {set6} {{ type ipv6_addr; flags dynamic; size 65535; }}
add chain inet meshgate_rotation learn {{ type filter hook prerouting priority dstnat + 10; policy accept; }}
add chain inet meshgate_rotation own {{ type route hook output priority mangle; policy accept; }}
flush chain inet meshgate_rotation learn
flush chain inet meshgate_rotation own
table inet meshgate_rotation {{
    chain learn {{
        iifname "{previous}" ip saddr != @{set4} add @{set4} {{ ip saddr }}
        iifname "{previous}" ip6 saddr != @{set6} add @{set6} {{ ip6 saddr }}
        iifname "{present}" ip saddr @{set4} delete @{set4} {{ ip saddr }}
        iifname "{present}" ip6 saddr @{set6} delete @{set6} {{ ip6 saddr }}
        iifname {{ "{previous}", "{present}" }} accept
        ip daddr @{set4} meta mark set meta mark | {mark:#x}
        ip6 daddr @{set6} meta mark set meta mark | {mark:#x}
    }}
    chain own {{
        ip daddr @{set4} meta mark set meta mark | {mark:#x}
        ip6 daddr @{set6} meta mark set meta mark | {mark:#x}
    }}
}}
"""

# A handshake's response has 92 bytes and is of type 2. It is news when its device was answered by the other key before,
# as far as that is known by its address and port: a rekey is none.
_EVENTS = """
add set inet meshgate_rotation answered4 {{ type ipv4_addr . inet_service; flags dynamic, timeout; timeout 10m; size 65535; }}
add set inet meshgate_rotation answered6 {{ type ipv6_addr . inet_service; flags dynamic, timeout; timeout 10m; size 65535; }}
add chain inet meshgate_rotation answers {{ type filter hook output priority filter; policy accept; }}
flush chain inet meshgate_rotation answers
table inet meshgate_rotation {{
    chain answers {{
        udp length != 100 accept
        @th,64,32 != 0x02000000 accept
{rules}
    }}
}}
"""  # noqa: E501 - nft has one line per set
_EVENT_RULES = """
        udp sport {present} {ip} daddr . udp dport != @answered{version} log group {group}
        udp sport {present} update @answered{version} {{ {ip} daddr . udp dport }}
        udp sport {previous} {ip} daddr . udp dport @answered{version} log group {group}
        udp sport {previous} delete @answered{version} {{ {ip} daddr . udp dport }}
"""


def rules(present: WireGuardIdentity, previous: WireGuardIdentity) -> str:
    """Sets and chains that lead answers to their interface; elements that are there stay."""
    sets = {f"set{version}": set_name(previous.interface, version) for version in VERSIONS}
    return _RULES.format(present=present.interface, previous=previous.interface, mark=MARK, **sets)


def event_rules(present: WireGuardIdentity, previous: WireGuardIdentity) -> str:
    """The chain that tells of devices that may have moved; the table must be there."""
    ports = {"present": present.listen_port, "previous": previous.listen_port, "group": LOG_GROUP}
    lines = (_EVENT_RULES.format(ip=ip, version=version, **ports) for version, (ip, _) in VERSIONS.items())
    return _EVENTS.format(rules="".join(lines))


def set_name(previous: str, version: int) -> str:
    """The set of who uses a previous key: in the next rotation its interface, and so the name, is another."""
    return f"{previous}_ipv{version}"


def move(previous: str, addresses: dict[int, list[str]], *, to_previous: bool) -> str:
    """Put addresses, by IP version, into the sets or take them out; it does not matter which are in them."""
    lines = []
    for version, listed in addresses.items():
        if listed:
            elements = f"element {' '.join(TABLE)} {set_name(previous, version)} {{ {', '.join(listed)} }}"
            lines += [f"add {elements}"] if to_previous else [f"add {elements}", f"delete {elements}"]
    return "\n".join(lines)


REMOVED = f"add table {' '.join(TABLE)}\ndelete table {' '.join(TABLE)}\n"
"""No table, whether there was one or not."""
