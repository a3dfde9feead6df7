"""Where a host's packets go and who listens on it: networks, routes, names, sockets, switches of the kernel."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ansible.module_utils.meshgate_tools import listed

LISTENING, UNCONNECTED = "0A", "07"
"""States of sockets in /proc/net (include/net/tcp_states.h)."""


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


def default_routes() -> dict[int, list[str]]:
    """The interfaces of the default routes, by IP version."""
    return {
        version: sorted({route["dev"] for route in listed(f"-{version}", "route", "show", "default") if "dev" in route})
        for version in (4, 6)
    }


def dialled(host: str, choice: bool) -> list[str]:
    """The addresses that an endpoint's host stands for. A name is asked for only where there is a choice."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        return resolved(host) if choice else []


def resolved(host: str) -> list[str]:
    """The addresses of a name, as others see it: a host's own name is often its loopback to itself."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        return []
    addresses = {str(address[0]).partition("%")[0] for *_, address in found}
    return sorted(address for address in addresses if not ipaddress.ip_address(address).is_loopback)


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
