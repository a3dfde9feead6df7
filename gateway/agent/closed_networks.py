"""Networks that nobody reaches through a gateway unless a setting opens them: they are not the Internet.

Cloud platforms answer in them, clusters number their pods and Services from them, or they hide an IPv4 address in an
IPv6 one and so lead around every IPv4 rule. The sources are IANA's registries of special-purpose addresses (RFC 6890,
RFC 8190) and the clouds' own pages. What a registry calls globally reachable stays open, and so do the networks for
documentation: nobody owns them, so nothing of anybody's is behind them.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network


@dataclass(frozen=True)
class Closed:
    """Networks that are closed for one reason."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    why: str
    source: str


def _closed(networks: str, why: str, source: str) -> Closed:
    return Closed(tuple(map(ip_network, networks.split())), why, source)


CLOSED = (
    _closed("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16", "private: pods, Services, nodes of most clusters", "RFC 1918"),
    _closed(
        "100.64.0.0/10",
        "carrier-grade NAT: the mesh itself (by its interface only), Alibaba Cloud's metadata at 100.100.100.200",
        "RFC 6598",
    ),
    _closed("169.254.0.0/16", "link-local: metadata of most clouds at 169.254.169.254", "RFC 3927"),
    _closed("0.0.0.0/8 127.0.0.0/8", "this host, loopback", "RFC 1122"),
    _closed("192.0.0.0/24", "protocol assignments; Oracle Cloud's older metadata", "RFC 6890"),
    _closed("192.88.99.0/24", "relays of 6to4", "RFC 7526"),
    _closed("198.18.0.0/15 2001:2::/48", "benchmarks", "RFC 2544, RFC 5180"),
    _closed("224.0.0.0/4 ff00::/8", "multicast", "RFC 5771, RFC 4291"),
    _closed("240.0.0.0/4", "reserved, limited broadcast", "RFC 1112, RFC 919"),
    _closed(
        "fc00::/7",
        "unique local: private networks, metadata of AWS (fd00:ec2::254) and Google Cloud (fd20:ce::254)",
        "RFC 4193",
    ),
    _closed("fe80::/10 fec0::/10", "link-local, the former site-local", "RFC 4291, RFC 3879"),
    _closed("::/96", "unspecified, loopback, IPv4-compatible addresses", "RFC 4291"),
    _closed("::ffff:0:0/96 ::ffff:0:0:0/96", "IPv4-mapped and IPv4-translated addresses", "RFC 4291, RFC 7915"),
    _closed("64:ff9b::/96 64:ff9b:1::/48", "NAT64: any IPv4 address", "RFC 6052, RFC 8215"),
    _closed("2002::/16", "6to4: any IPv4 address", "RFC 3056"),
    _closed("2001::/23", "protocol assignments; Teredo (2001::/32): any IPv4 address", "RFC 2928, RFC 4380"),
    _closed("100::/64 100:0:0:1::/64", "discarded, dummy", "RFC 6666, RFC 9780"),
    _closed("5f00::/16", "segment identifiers", "RFC 9602"),
    _closed("168.63.129.16/32", "Azure's platform: DNS, DHCP, the virtual machine's agent", "Azure"),
    _closed("34.118.224.0/20", "Services of clusters on GKE, where nothing else is said", "Google Cloud"),
)

CLOSED_NETWORKS = tuple(network for entry in CLOSED for network in entry.networks)
