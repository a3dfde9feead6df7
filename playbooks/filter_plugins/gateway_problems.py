"""Filters that judge, by what the module gateway_host saw, whether a host can be a gateway or run a key service."""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from playbooks.filter_plugins import gateway_firewall
from playbooks.filter_plugins.gateway_firewall import MESH_INTERFACE
from playbooks.filter_plugins.gateway_listeners import key_ports, wanted_ports
from playbooks.filter_plugins.gateway_units import KEYS, OURS, TAILSCALE, VENDOR, own_units, unit_of

Host = Mapping[str, Any]
Settings = Mapping[str, Any]

SUPPORTED = {"debian": (12,), "ubuntu": (22, 4)}
SYSTEMD = 247
"""The first that has RootDirectory= and LoadCredential= together."""
SERVERS_INTERFACES = {"ovpn-udp", "ovpn-tcp", "ipsec0"}
"""What the servers of these ways make, and leave there until they are ended."""
DROP_INS = "/etc/systemd/system/meshgate-.service.d"
"""Of all our units (man systemd.unit). A file there stands for those of its name that all services have."""
SYSCTLS = "60-meshgate.conf"
"""The gateway's own file of sysctl.d."""


def gateway_problems(
    host: Host,
    settings: Settings,
    artifact: Mapping[str, str],
    tailscaled: str = "",
    *,
    previous_key_is_given: bool = False,
) -> list[str]:
    """What keeps a host from being this gateway, one sentence each. The host is not touched while there is one.

    `artifact` is what the module gateway_artifact says, `tailscaled` the binary that the user names. A key before the
    present one that is not given has to be the host's own.
    """
    return [
        *system(host, settings),
        *_artifact(host, artifact),
        *_tailnet(host),
        *(_mesh(host, tailscaled) if settings["in_mesh"] else []),
        *([] if previous_key_is_given else _previous_key(settings)),
        *_interfaces(host, settings),
        *_ports(host, settings),
        *_networks(host, settings),
        *_units_taken_back(host, own_units(settings)),
        *later_sysctls(host, settings),
        *(f"{sentence}." for sentence in gateway_firewall.shut(host, settings)),
        *_issuer(settings),
    ]


def key_problems(host: Host, settings: Settings, artifact: Mapping[str, str]) -> list[str]:
    """What keeps a host from running this key service, one sentence each."""
    instead = ("the API's", "another port in meshgate_keys_url"), ("the probes'", "another meshgate_keys_probe_port")
    wanted = {("tcp", port): words for port, words in zip(key_ports(settings), instead, strict=True)}
    own = {KEYS}.__contains__
    return [
        *_platform(host),
        *_artifact(host, artifact),
        *_taken(host, wanted, settings["http_host"], own),
        *_units_taken_back(host, [KEYS]),
    ]


def system(host: Host, settings: Settings) -> Iterator[str]:
    """What its distribution, its systemd and its kernel lack."""
    yield from _platform(host)
    if not host["tun"]:
        yield (
            "There is no usable /dev/net/tun: tailscaled needs it, and so do OpenVPN, IPsec, and WireGuard where the "
            "kernel has none; "
            "load the module tun, or give the container that device."
        )
    wireguard = {one["environment"]["MESHGATE_WIREGUARD"] for one in settings["wireguard"].values()}
    if "kernel" in wireguard and not host["kernel_wireguard"]:
        yield "The kernel has no WireGuard, which `wireguard: kernel` demands; `auto` takes wireguard-go instead."


def _platform(host: Host) -> Iterator[str]:
    if not _supported(host["distribution"]):
        name = host["distribution"]["name"] or "This distribution"
        yield f"{name} is not supported: Meshgate needs Debian 12 or Ubuntu 22.04, or a later one."
    if host["systemd"] < SYSTEMD:
        yield f"systemd {host['systemd']} is too old: Meshgate's units need {SYSTEMD} or later."


def _supported(distribution: Mapping[str, str]) -> bool:
    least = SUPPORTED.get(distribution["id"])
    parts = distribution["version"].split(".")
    if least is None or not all(map(str.isdecimal, parts)):
        return least is not None and not distribution["version"]  # Debian's testing has no number
    return tuple(map(int, parts)) >= least


def _artifact(host: Host, artifact: Mapping[str, str]) -> Iterator[str]:
    if artifact["architecture"] != host["architecture"]:
        yield (
            f"The artifact is made for {artifact['architecture']}, but this host is {host['architecture']}: "
            f"make one on such a machine, and name it with meshgate_artifact."
        )


def _tailnet(host: Host) -> Iterator[str]:
    vendor = host["vendor_tailscale"]
    if vendor and vendor["joined"]:
        where = f" of {vendor['url']}" if vendor["url"] else ""
        yield (
            f"This host's own tailscaled is in the tailnet{where} already: a gateway needs a host of its own, "
            "or `tailscale logout` here first."
        )


def _mesh(host: Host, tailscaled: str) -> Iterator[str]:
    if not (tailscaled or host["tailscaled"]):
        yield (
            "There is no tailscaled: install Tailscale's package on the host, "
            "or name a binary on the controller with meshgate_tailscaled."
        )


def _issuer(settings: Settings) -> Iterator[str]:
    if problem := settings["issuing_problem"]:
        yield f"meshgate_issuing_certificate, meshgate_issuing_key: {problem.rstrip('.')}."


def _previous_key(settings: Settings) -> Iterator[str]:
    if settings["previous_port"] and not settings["previous_public_key"]:
        yield (
            f"No WireGuard key of this host has port {settings['previous_port']}, which `previous_key` says: give the "
            "port that its key has until now, or that key as meshgate_previous_private_key."
        )


def _interfaces(host: Host, settings: Settings) -> Iterator[str]:
    wireguard = {one["interface"]: [unit_of(name)] for name, one in settings["wireguard"].items()}
    makers = {**wireguard, MESH_INTERFACE: [TAILSCALE, VENDOR]}
    for name, units in makers.items():
        known = any(host["units"][unit][state] for unit in units for state in ("active", "enabled"))
        if name in host["interfaces"] and not known:
            yield f"The interface {name} is there already, and not the gateway's: end what made it."


def _ports(host: Host, settings: Settings) -> Iterator[str]:
    def own(unit: str) -> bool:
        return unit.startswith(OURS) and unit != KEYS

    kernels = any(host["interfaces"].get(name) == "wireguard" for name in _wireguards(settings))
    yield from _taken(host, wanted_ports(settings), settings["http_host"], own, kernels=kernels)


def _taken(
    host: Host,
    wanted: Mapping[tuple[str, int], tuple[str, str]],
    http_host: str,
    own: Callable[[str], bool],
    *,
    kernels: bool = False,
) -> Iterator[str]:
    """Which of the wanted ports others have; `own` knows our units, `kernels` whether the kernel's socket is ours."""
    taken = set()
    for socket in host["sockets"]:
        place = socket["protocol"], socket["port"]
        tcp_elsewhere = socket["protocol"] == "tcp" and not _clash(socket["address"], http_host)
        ours = own(socket["unit"]) if socket["process"] else kernels
        if place not in wanted or tcp_elsewhere or ours:
            continue
        whose, instead = wanted[place]
        owner = socket["process"] or "the kernel"
        taken.add(f"{place[0].upper()} port {place[1]}, {whose}, is taken by {owner}: end that, or choose {instead}.")
    yield from sorted(taken)


def _clash(one: str, other: str) -> bool:
    """Whether two sockets of one port cannot both listen on these addresses."""
    return one == other or any(address in {"0.0.0.0", "::"} for address in (one, other))  # noqa: S104


def _wireguards(settings: Settings) -> tuple[str, str]:
    """The interfaces that WireGuard may have: one may be there from before the settings or the ways changed."""
    return settings["interface"], settings["previous_interface"]


def _networks(host: Host, settings: Settings) -> Iterator[str]:
    ours = {*_wireguards(settings), MESH_INTERFACE, *SERVERS_INTERFACES}
    for wanted in map(ipaddress.ip_network, settings["client_networks"]):
        for taken in host["networks"]:
            network = ipaddress.ip_network(taken["network"])
            elsewhere = taken["device"] not in ours
            if elsewhere and network.version == wanted.version and network.overlaps(wanted):
                yield (
                    f"The client network {wanted} collides with {network}, which this host reaches by "
                    f"{taken['device']}: choose another in client_networks."
                )


def _units_taken_back(host: Host, units: Iterable[str]) -> Iterator[str]:
    """What drop-ins take from our units: a container's empty `LoadCredential=` leaves the agent without a key."""
    found: dict[tuple[str, str], list[str]] = {}
    for unit in units:
        for directive, file in host["taken_back"].get(unit, {}).items():
            found.setdefault((file, directive), []).append(unit)
    for (file, directive), of in found.items():
        where, link = DROP_INS, f"{DROP_INS}/{file.rpartition('/')[2]}"
        masked = f"`mkdir -p {where} && ln -s /dev/null {link}` keeps it from Meshgate's units"
        instead = f"take {directive}= out of it" if file.startswith("/etc/") else masked
        yield f"{file} takes {directive}= from {', '.join(of)}, which cannot do without: {instead}."


def later_sysctls(host: Host, settings: Settings) -> Iterator[str]:
    """What switches forwarding off at the next boot, after the gateway's own file has switched it on."""
    versions = {f"net/ipv{ipaddress.ip_network(network).version}/" for network in settings["client_networks"]}
    for switch, later in host["later_sysctls"].items():
        needed = switch.startswith((*versions, "net/ipv4/"))
        if needed and later["value"] == "0":
            name = switch.replace("/", ".")
            yield (
                f"{later['file']} sets {name} to 0 at each boot, after {SYSCTLS}: "
                "take that line away, or give it the value 1."
            )


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        return {function.__name__: function for function in (gateway_problems, key_problems)}
