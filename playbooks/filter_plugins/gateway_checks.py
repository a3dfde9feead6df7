"""Filters that judge what the module gateway_host saw.

Can the host be a gateway, or run a key service, and does each part of a gateway work?
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError

from playbooks.filter_plugins import gateway_firewall

Host = Mapping[str, Any]
Settings = Mapping[str, Any]
Part = dict[str, Any]

SUPPORTED = {"debian": (12,), "ubuntu": (22, 4)}
SYSTEMD = 247
"""The first that has RootDirectory= and LoadCredential= together."""
MESH_INTERFACE = "tailscale0"
WIREGUARD, AGENT, TAILSCALE = "meshgate-wireguard.service", "meshgate-agent.service", "meshgate-tailscale.service"
SERVERS = {"openvpn": "OpenVPN", "ipsec": "IPsec"}
"""The ways in that have servers of their own."""
SERVERS_INTERFACES = {"ovpn-udp", "ovpn-tcp", "ipsec0"}
"""What those make, and what they leave there until they are ended."""
VENDOR, KEYS = "tailscaled.service", "meshgate-keys.service"
OURS = "meshgate-"
EVERY_ADDRESS = "::"
"""Of IPv6 and IPv4: with a certificate, and a token guards the API."""
TABLE = "inet meshgate"
FIREWALL = "the host's firewall"
DROP_INS = "/etc/systemd/system/meshgate-.service.d"
"""Of all our units (man systemd.unit). A file there stands for those of its name that all services have."""
SYSCTLS = "60-meshgate.conf"
"""The gateway's own file of sysctl.d."""


def gateway_problems(host: Host, settings: Settings, artifact: Mapping[str, str], tailscaled: str = "") -> list[str]:
    """What keeps a host from being this gateway, one sentence each. The host is not touched while there is one.

    `artifact` is what the module gateway_artifact says, `tailscaled` the binary that the user names.
    """
    return [
        *_system(host, settings),
        *_artifact(host, artifact),
        *_tailnet(host),
        *(_mesh(host, tailscaled) if settings["in_mesh"] else []),
        *_interfaces(host, settings),
        *_ports(host, settings),
        *_networks(host, settings),
        *_units_taken_back(host, _units(settings)),
        *_later_sysctls(host, settings),
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


def key_ports(settings: Settings) -> list[int]:
    """The TCP ports that a key service listens on: the API's, the probes'."""
    return [settings["http_port"], settings["probe_port"]]


def _system(host: Host, settings: Settings) -> Iterator[str]:
    yield from _platform(host)
    if not host["tun"]:
        yield (
            "There is no usable /dev/net/tun: tailscaled needs it, and so do OpenVPN, IPsec, and WireGuard where the "
            "kernel has none; "
            "load the module tun, or give the container that device."
        )
    wireguard = (settings["interface_environment"] or {}).get("MESHGATE_WIREGUARD")
    if wireguard == "kernel" and not host["kernel_wireguard"]:
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


def _interfaces(host: Host, settings: Settings) -> Iterator[str]:
    makers = {settings["interface"]: [WIREGUARD], MESH_INTERFACE: [TAILSCALE, VENDOR]}
    for name, units in makers.items():
        known = any(host["units"][unit][state] for unit in units for state in ("active", "enabled"))
        if name in host["interfaces"] and not known:
            yield f"The interface {name} is there already, and not the gateway's: end what made it."


def gateway_ports(settings: Settings, protocol: str) -> list[int]:
    """The ports that a gateway listens on."""
    return [port for transport, port in _wanted_ports(settings) if transport == protocol]


def _wanted_ports(settings: Settings) -> dict[tuple[str, int], tuple[str, str]]:
    """Each port, whose it is, and what else could be chosen."""
    wanted = {
        ("tcp", settings["http_port"]): ("the peer API's", "another port in `peers_url`"),
        ("tcp", settings["probe_port"]): ("the probes'", "another probe_port"),
    }
    if settings["port"]:
        wanted["udp", settings["port"]] = ("the endpoint's", "another port in `endpoint`")
    if settings["in_mesh"]:
        wanted["udp", settings["tailscale"]["port"]] = ("tailscaled's", "another tailscale_port")
    for way, server in settings["servers"].items():
        for transport, port in server["ports"]:
            instead = f"another openvpn.{transport}_port" if way == "openvpn" else f"to leave {way} out of `access`"
            wanted[transport, port] = (f"{SERVERS[way]}'s", instead)
    return wanted


def _ports(host: Host, settings: Settings) -> Iterator[str]:
    def own(unit: str) -> bool:
        return unit.startswith(OURS) and unit != KEYS

    kernels = host["interfaces"].get(settings["interface"]) == "wireguard"
    yield from _taken(host, _wanted_ports(settings), settings["http_host"], own, kernels=kernels)


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


def _networks(host: Host, settings: Settings) -> Iterator[str]:
    ours = {settings["interface"], MESH_INTERFACE, *SERVERS_INTERFACES}
    for wanted in map(ipaddress.ip_network, settings["client_networks"]):
        for taken in host["networks"]:
            network = ipaddress.ip_network(taken["network"])
            elsewhere = taken["device"] not in ours
            if elsewhere and network.version == wanted.version and network.overlaps(wanted):
                yield (
                    f"The client network {wanted} collides with {network}, which this host reaches by "
                    f"{taken['device']}: choose another in client_networks."
                )


def _units(settings: Settings) -> list[str]:
    """The units that this gateway has."""
    servers = [f"{OURS}{way}.service" for way in settings["servers"]]
    wireguard, tailscale = [WIREGUARD] if settings["port"] else [], [TAILSCALE] if settings["in_mesh"] else []
    return [*wireguard, AGENT, *servers, *tailscale]


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


def _later_sysctls(host: Host, settings: Settings) -> Iterator[str]:
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


def gateway_parts(
    host: Host, settings: Settings, artifact: Mapping[str, Any], readiness: Mapping[str, Any], node: Mapping[str, Any]
) -> list[Part]:
    """Each part of a gateway: its name, whether it works, and if not, why; and what cannot be told of it.

    `readiness` is the result of a request to /readyz, `node` that of the module headscale_node in check mode.
    """
    found = (
        ("distribution", " ".join(_system(host, settings))),
        ("artifact", _release(host, artifact)),
        *(_wireguard(host, settings) if settings["port"] else ()),
        (AGENT, _unit(host["units"][AGENT])),
        *(part for way, server in settings["servers"].items() for part in _server(host, way, server["ports"])),
        (f"nft table {TABLE}", _table(host)),
        ("forwarding", _forwarding(host, settings)),
        (FIREWALL, "; ".join(gateway_firewall.shut(host, settings))),
        *(_in_the_mesh(host, settings, node) if settings["in_mesh"] else ()),
        (f"peer API {settings['peers_url']}", _api(readiness)),
    )
    doubts = {FIREWALL: "; ".join(gateway_firewall.gateway_doubts(host, settings))}
    return [{"part": part, "works": not why, "why": why, "doubt": doubts.get(part, "")} for part, why in found]


def _wireguard(host: Host, settings: Settings) -> Iterator[tuple[str, str]]:
    yield WIREGUARD, _unit(host["units"][WIREGUARD])
    yield f"interface {settings['interface']}", _interface(host, settings)
    yield f"UDP port {settings['port']}", _listens(host, "udp", settings["port"])


def _server(host: Host, way: str, ports: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str]]:
    unit = f"{OURS}{way}.service"
    yield unit, _unit(host["units"][unit])
    for transport, port in ports:
        yield f"{transport.upper()} port {port}", _listens(host, transport, port)


def _in_the_mesh(host: Host, settings: Settings, node: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield TAILSCALE, _unit(host["units"][TAILSCALE])
    yield "tailscaled", _tailscaled(host["tailscale"], settings["headscale"]["url"])
    yield "exit node in Headscale", _node(node, host["tailscale"])


def gateway_report(parts: Iterable[Part]) -> list[str]:
    """The parts, a line each."""
    return [f"{part['part']}: {_working(part) if part['works'] else part['why']}" for part in parts]


def _working(part: Part) -> str:
    return f"works, as far as anybody can tell; {part['doubt']}" if part["doubt"] else "works"


def _release(host: Host, artifact: Mapping[str, Any]) -> str:
    if not host["releases"]:
        return "it is not unpacked on this host: run playbooks/gateway.yml"
    if artifact.get("failed"):
        return str(artifact["msg"])
    if artifact["release"] in host["releases"]:
        return ""
    return (
        f"the host has {', '.join(host['releases'])}, the controller {artifact['release']}: run playbooks/gateway.yml"
    )


def _unit(unit: Mapping[str, bool]) -> str:
    if not unit["active"]:
        return "it does not run: `journalctl -u UNIT` on the host says why"
    return "" if unit["enabled"] else "it will not start at boot: run playbooks/gateway.yml"


def _interface(host: Host, settings: Settings) -> str:
    if settings["interface"] not in host["interfaces"]:
        return f"it is not there: {WIREGUARD} makes it"
    return ""


def _listens(host: Host, protocol: str, port: int) -> str:
    owners = [one for one in host["sockets"] if (one["protocol"], one["port"]) == (protocol, port)]
    if not owners:
        return "nothing listens on it"
    strangers = sorted({one["process"] for one in owners if one["process"] and not one["unit"].startswith(OURS)})
    return f"{', '.join(strangers)} listens on it, not the gateway" if strangers else ""


def _table(host: Host) -> str:
    if host["tables"] is None:
        return "there is no nft to look with: run playbooks/gateway.yml"
    return "" if TABLE in host["tables"] else f"it is not there: {AGENT} puts it in place"


def _forwarding(host: Host, settings: Settings) -> str:
    ipv6 = any(":" in network for network in settings["client_networks"])
    needed = ["net.ipv4.ip_forward", *(["net.ipv6.conf.all.forwarding"] if ipv6 else [])]
    off = [name for name in needed if host["sysctls"][name] in {"", "0"}]
    now = [f"{' and '.join(off)} must be 1: something has set it after /etc/sysctl.d/{SYSCTLS}"] if off else []
    return "; ".join([*now, *(sentence.rstrip(".") for sentence in _later_sysctls(host, settings))])


def _tailscaled(tailscale: Mapping[str, Any] | None, url: str) -> str:
    if tailscale is None:
        return f"it does not answer: {TAILSCALE} runs it"
    if not tailscale["joined"] or tailscale["state"] != "Running":
        return f"it is not connected, its state is {tailscale['state']}: run playbooks/gateway.yml"
    if tailscale["url"] != url:
        return f"it is connected to {tailscale['url']}, not to {url}: run playbooks/gateway.yml"
    return ""


def _node(answer: Mapping[str, Any], tailscale: Mapping[str, Any] | None) -> str:
    if answer.get("failed"):
        return str(answer.get("msg", "Headscale does not answer"))
    if answer.get("skipped"):
        return ""
    node = answer.get("node")
    if not node:
        return "Headscale has no such node: run playbooks/gateway.yml"
    if tailscale and tailscale["node_key"] != node["node_key"]:
        return f"Headscale's node {node['id']} of that name has another key than this host: remove that node there"
    if not node["exit_node"]:
        return "its exit routes are not approved: run playbooks/gateway.yml"
    return "" if node["online"] else "Headscale does not see it: can the host reach Headscale?"


def _api(readiness: Mapping[str, Any]) -> str:
    if readiness.get("status") == 200:
        return ""
    missing = (readiness.get("json") or {}).get("missing")
    return "; ".join(missing) if missing else f"it does not answer: {readiness.get('msg', 'nothing listens')}"


def gateway_tls_listener(settings: Settings) -> dict[str, Any]:
    """The settings, with the agent itself on the port of an https:// peers_url, which else is a proxy's."""
    url = urlsplit(settings["peers_url"])
    if url.scheme != "https":
        raise AnsibleFilterError(
            f"meshgate_tls_certificate is given, but peers_url {settings['peers_url']} is no https:// URL: change it."
        )
    port = url.port or 443
    listener = {"MESHGATE_HTTP_HOST": EVERY_ADDRESS, "MESHGATE_HTTP_PORT": str(port)}
    environment = {**settings["environment"], **listener}
    return {**settings, "http_host": EVERY_ADDRESS, "http_port": port, "environment": environment}


def gateway_probe_url(settings: Settings) -> str:
    """Where the agent tells on the machine itself how it is."""
    host = "127.0.0.1" if settings["http_host"] == EVERY_ADDRESS else settings["http_host"]
    return f"http://{f'[{host}]' if ':' in host else host}:{settings['probe_port']}"


def gateway_verify_unit(host: Host) -> str:
    """The command that a unit's file has to pass before it is installed."""
    # Without the option (systemd 250) it looks at the unit's neighbours, too, and fails for none of its warnings.
    return f"systemd-analyze verify {'--recursive-errors=no ' if host['systemd'] >= 250 else ''}%s"


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by their names."""
        filters = (
            *(gateway_ports, gateway_problems, gateway_parts, gateway_report),
            *(gateway_tls_listener, gateway_probe_url, gateway_verify_unit),
            *(key_ports, key_problems),
        )
        return {function.__name__: function for function in filters}
