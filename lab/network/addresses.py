"""Where the cluster's node, its pods and its Services are: by IPv4 and IPv6, or by IPv6 alone.

The latter is what `make up` brings to life with MESHGATE_LAB_IP=ipv6 in the environment. What it was is kept for the
commands that follow.
"""

from dataclasses import dataclass
from ipaddress import ip_network

from console import environment
from console.errors import StepError
from lab import paths
from lab.network import topology

VARIABLE = "MESHGATE_LAB_IP"
KEPT = paths.STATE / "ip"
"""What the lab's cluster is, while there is one."""


@dataclass(frozen=True)
class Addresses:
    """Of each family one, the cluster's first family before the other."""

    nodes: tuple[str, ...]
    pods: tuple[str, ...]
    services: tuple[str, ...]

    @property
    def node(self) -> str:
        """The node's, where all that runs on it listens."""
        return self.nodes[0]

    @property
    def host(self) -> str:
        """The same as URLs and endpoints have it."""
        return f"[{self.node}]" if ":" in self.node else self.node

    @property
    def api_services(self) -> tuple[str, ...]:
        """The Service `kubernetes` has the first address of each network."""
        return tuple(str(ip_network(network)[1]) for network in self.services)


BOTH = Addresses(
    nodes=(topology.NODE_IPV4, topology.NODE_IPV6),
    pods=(topology.POD_IPV4, topology.POD_IPV6),
    services=(topology.SERVICE_IPV4, topology.SERVICE_IPV6),
)
KINDS = {"dual": BOTH, "ipv6": Addresses(*(places[1:] for places in (BOTH.nodes, BOTH.pods, BOTH.services)))}


def _kind() -> str:
    kept = KEPT.read_text() if KEPT.exists() else "dual"
    return environment.callers().get(VARIABLE) or kept


KIND = _kind()
CLUSTER = KINDS.get(KIND, BOTH)
"""The cluster's that is there, or that is to be."""


def keep() -> None:
    """Keep what the cluster is; StepError if it cannot be that, since its objects keep their addresses."""
    if KIND not in KINDS:
        raise StepError(f"{VARIABLE} is {KIND!r}; it can be {' or '.join(KINDS)}.")
    if KEPT.exists() and (kept := KEPT.read_text()) != KIND:
        raise StepError(f"The lab's cluster is {kept}, and {VARIABLE} is {KIND}: `make down` first.")
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(KIND)
