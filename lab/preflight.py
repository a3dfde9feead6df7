"""What a machine must have, and must not use itself, asked before anything of it is touched."""

import json
import os
import shutil
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from console.errors import StepError
from console.run import capture
from lab.network import topology
from lab.processes import cgroups

PROC = Path("/proc")


def check() -> None:
    """Raise StepError, with one sentence, when the lab cannot live here or would be in the way of something."""
    for obstacle in (*_ipv6(), *_control_groups(), *_networks()):
        raise StepError(obstacle)


def _ipv6() -> Iterator[str]:
    if not (PROC / "net/if_inet6").exists():
        yield "This kernel has no IPv6, which the lab's networks need: boot it without ipv6.disable=1."
        return
    for scope in ("all", "default"):
        if (PROC / f"sys/net/ipv6/conf/{scope}/disable_ipv6").read_text().strip() == "1":
            yield (
                f"IPv6 is switched off on this machine, and the lab's networks need it: "
                f"set net.ipv6.conf.{scope}.disable_ipv6=0 (sysctl -w, and in /etc/sysctl.d)."
            )


def _control_groups() -> Iterator[str]:
    """In version 2, what the kubelet needs must be there, and must be possible to hand down.

    The root of all groups may have processes of its own; a container's, which looks like it, may not.
    """
    mount = cgroups.MOUNT
    if not (mount / "cgroup.controllers").exists():
        return
    if absent := set(cgroups.CONTROLLERS) - set((mount / "cgroup.controllers").read_text().split()):
        yield (
            f"The kubelet needs the cgroup controllers {', '.join(sorted(absent))}, which {mount} does not have: "
            "enable them for this machine (in a container: delegate them to it)."
        )
    elif not os.access(mount / "cgroup.subtree_control", os.W_OK):
        yield f"{mount} is read-only, and the kubelet makes control groups there: run the lab in a virtual machine."
    elif cgroups.to_hand_down(mount) and (mount / "cgroup.type").exists() and (mount / "cgroup.procs").read_text():
        yield (
            f"{mount} is a container's control group with processes of its own, which by the kernel's rule can hand "
            "no controllers down: move them into a group below it, or run the lab in a virtual machine."
        )


def _networks() -> Iterator[str]:
    """The lab's lan, the only network of the lab that the machine itself becomes part of, must be nobody's yet.

    A wider route is no obstacle as such: the lan is a small part of it, which counts as used when the machine knows
    somebody there: itself, a router, a neighbour.
    """
    if shutil.which("ip") is None:
        return
    known = [
        (name, interface)
        for name, interface in (*_addresses(), *_neighbours(), *_routes())
        if interface != topology.HOST_PORT
    ]
    for lan in map(ip_network, topology.LAN):
        for name, interface in known:
            if ip_network(name, strict=False).network_address in lan:
                yield (
                    f"The lab's network {lan} is in use on this machine ({name} at {interface}): "
                    "leave that network while the lab runs, or run the lab in a virtual machine."
                )


def _addresses() -> Iterator[tuple[str, str]]:
    """Yield what the machine has, each with its interface."""
    for link in _ip("address", "show"):
        for address in link.get("addr_info", []):
            if "local" in address:
                yield address["local"], link["ifname"]


def _neighbours() -> Iterator[tuple[str, str]]:
    for neighbour in _ip("neighbour", "show"):
        yield neighbour["dst"], neighbour["dev"]


def _routes() -> Iterator[tuple[str, str]]:
    """Yield where the machine's routes lead, and by way of whom."""
    for family in ("-4", "-6"):
        for route in _ip(family, "route", "show", "table", "all"):
            for name in (route["dst"], route.get("gateway", "default")):
                if name != "default":
                    yield name, route.get("dev", "a route without an interface")


def _ip(*arguments: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(
        capture(("ip", "-json", *arguments), doing="look at this machine's networks") or "[]"
    )
    return listed
