"""What each container asks of the cluster, and how settings change it: a limit must still fit what it carries."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from infra.settings.section import Section
from infra.settings.value_types import Quantity

Resources = dict[str, dict[str, str]]
"""Requests and limits as a container's spec has them."""


@dataclass(frozen=True)
class Share:
    """What a container gets where no setting says otherwise; memory in MiB."""

    cpu: str
    memory: int
    limit: int
    """Its greatest memory, to which comes `each` of every device."""
    each: int = 0
    """KiB that a device takes at most."""

    def needed(self, capacity: int) -> int:
        """The greatest memory with that many devices."""
        return self.limit + math.ceil(capacity * self.each / 1024)


SHARES: Mapping[str, Share] = {
    "tailscale": Share("50m", 64, 512),
    # wireguard-go with every address taken: 2.7 GiB for a /16, 266 MiB for a /24. Measured with 50,000 peers: 28 kB
    # each, 33 kB when all had sessions. Go may double what is in use, 20 kB, before it collects garbage. The rest is
    # for packets on their way.
    "wireguard": Share("100m", 64, 256, each=40),
    # When every device has a session: measured 153 kB each.
    "openvpn": Share("50m", 64, 128, each=160),
    # As much as charon takes when every device has a session.
    "ipsec": Share("50m", 64, 128, each=128),
    # Measured 60 MiB without devices, 135 MiB with 50,000, 145 MiB at its peak.
    "agent": Share("50m", 64, 128, each=3),
    "headscale": Share("50m", 128, 512),
    "keys": Share("20m", 64, 192),
}


def _cpu(value: str) -> str:
    if not re.fullmatch(r"[0-9]+m|[0-9]+(\.[0-9]{1,3})?", value):
        raise ValueError(f"{value!r} is not an amount of CPU such as 250m or 0.25")
    return value


Cpu = Annotated[str, BeforeValidator(str), AfterValidator(_cpu)]


class Amounts(Section):
    """Amounts of CPU and memory; what is left out stays as it is."""

    cpu: Cpu | None = None
    """In processors, such as 250m or 0.25."""
    memory: Quantity | None = None
    """Such as 512Mi."""


class ResourceSettings(Section):
    """What a container asks of the cluster, and gets at most."""

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()


class ContainerResources(Section):
    """CPU and memory, by the container's name. A limit of memory must suffice for as many devices as can be let in."""

    tailscale: ResourceSettings = ResourceSettings()
    wireguard: ResourceSettings = ResourceSettings()
    openvpn: ResourceSettings = ResourceSettings()
    ipsec: ResourceSettings = ResourceSettings()
    agent: ResourceSettings = ResourceSettings()
    headscale: ResourceSettings = ResourceSettings()
    keys: ResourceSettings = ResourceSettings()

    def of(self, container: str) -> ResourceSettings:
        """Those of one container; the previous key's is as WireGuard's."""
        found: ResourceSettings = getattr(self, container.removesuffix("-previous"))
        return found


def resources(container: str, capacity: int = 0) -> Resources:
    """A container's own resources, with that many devices."""
    share = SHARES[container]
    return {
        "requests": {"cpu": share.cpu, "memory": f"{share.memory}Mi"},
        "limits": {"memory": f"{share.needed(capacity)}Mi"},
    }


def changed(own: Resources, settings: ResourceSettings) -> Resources:
    """The resources with what the settings say in its place."""
    return {kind: own[kind] | getattr(settings, kind).model_dump(exclude_none=True) for kind in own}


def problems(container: str, capacity: int, settings: ResourceSettings) -> Iterator[str]:
    """What cannot work, one sentence each."""
    share, limit = SHARES[container], settings.limits.memory
    if limit and share.each and _amount(limit) < (needed := share.needed(capacity)) * 1024**2:
        yield (
            f"limits.memory {limit} is too little for {capacity} devices, which need {needed}Mi; give that or more, or "
            "smaller client_networks"
        )
        return
    used = changed(resources(container, capacity), settings)
    for name, least in used["requests"].items():
        if (most := used["limits"].get(name)) and _amount(least) > _amount(most):
            yield f"requests.{name} {least} is more than limits.{name} {most}; set both so that the request fits"


def _amount(quantity: str) -> float:
    """In bytes, or in processors."""
    if quantity.endswith("i"):
        return float(quantity[:-2]) * 1024.0 ** ("KMGT".index(quantity[-2]) + 1)
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
