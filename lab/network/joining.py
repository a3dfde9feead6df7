"""Clients and bare-metal machines join the lab's network: each in a namespace, with a free address on the lan."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from console.errors import StepError
from lab import paths
from lab.network import ip
from lab.network.topology import CLIENT_PREFIX, CLIENTS, INTERNET, METAL, NODE, namespaces, on_lan, on_line
from lab.processes import lock


@dataclass(frozen=True)
class Host:
    """A namespace on the lan and its address there."""

    namespace: str
    ipv4: str


def attach(name: str) -> Host:
    """Put a new namespace `mg-client-<name>` on the lan, with the first free client address."""
    with alone():
        return _attach(name)


def _attach(name: str) -> Host:
    namespace = CLIENT_PREFIX + name
    _detach(name)
    clients = [other for other in namespaces() if other.startswith(CLIENT_PREFIX)]
    number = free_number(CLIENTS, set().union(*map(ip.addresses, clients)))
    port = f"client{number}"
    ipv4, ipv6 = on_lan(number)
    ip.run(f"netns add {namespace}\nlink add eth0 netns {namespace} type veth peer name {port} netns {NODE}")
    ip.run(f"link set {port} master lan up", NODE)
    ip.run(
        f"""
        link set lo up
        link set eth0 up
        address add {ipv4}/24 dev eth0
        address add {ipv6}/64 dev eth0 nodad
        """,
        namespace,
    )
    return Host(namespace, ipv4)


def detach(name: str) -> None:
    """Take a client off the lan and remove its namespace; nothing happens when there is none."""
    with alone():
        _detach(name)


def _detach(name: str) -> None:
    namespace = CLIENT_PREFIX + name
    if namespace not in namespaces():
        return
    ip.delete_link("eth0", namespace)
    ip.run(f"netns delete {namespace}")


def plug(number: int) -> None:
    """Make a bare-metal machine's namespace: on the lan, and on its own line to the Internet host.

    Called where the machine boots (its own mounts); an earlier boot's namespace is replaced.
    """
    port, (ipv4, ipv6), (line_ipv4, line_ipv6) = f"metal{number}", on_lan(number), on_line(number)
    if METAL in [entry["name"] for entry in ip.listed("netns", "list")]:
        ip.run(f"netns delete {METAL}")
    for end in (NODE, INTERNET):
        ip.delete_link(port, end)
    ip.run(
        f"""
        netns add {METAL}
        link add eth0 netns {METAL} address 02:00:00:00:00:{number:02x} type veth peer name {port} netns {NODE}
        link add eth1 netns {METAL} address 02:00:00:00:01:{number:02x} type veth peer name {port} netns {INTERNET}
        """
    )
    ip.run(f"link set {port} master lan up", NODE)
    ip.run(
        f"""
        link set {port} up
        address add 203.0.113.1 peer {line_ipv4} dev {port}
        address add 2001:db8:113::1 peer {line_ipv6} dev {port} nodad
        """,
        INTERNET,
    )
    ip.run(
        f"""
        link set lo up
        link set eth0 up
        link set eth1 up
        address add {ipv4}/24 dev eth0
        address add {ipv6}/64 dev eth0 nodad
        address add {line_ipv4}/24 dev eth1
        address add {line_ipv6}/64 dev eth1 nodad
        route add default via 203.0.113.1
        route add default via 2001:db8:113::1
        """,
        METAL,
    )


def alone() -> AbstractContextManager[None]:
    """Nobody else joins or leaves during the block: a number that is free stays so until it is taken."""
    return lock.one_at_a_time(paths.RUN / "lan.lock")


def free_number(numbers: range, taken: set[str]) -> int:
    """Return the first of some host numbers on the lan whose address is not among those `taken`."""
    for number in numbers:
        if on_lan(number)[0] not in taken:
            return number
    raise StepError(
        f"All {len(numbers)} addresses from {on_lan(numbers[0])[0]} on are taken on the lab's lan;"
        " end what has them (`make down` ends all)."
    )
