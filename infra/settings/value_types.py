"""The kinds of value that settings are made of, each with its own rule and its own sentence."""

import ipaddress
import re
from datetime import UTC, date, datetime
from functools import partial
from typing import Annotated, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, SecretStr

from gateway.headscale import ca_certificates
from infra.settings import hosts

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 6598 and Tailscale's ULA: tailscaled drops such sources on their way into the mesh (linuxfw's ts-forward).
MESH_NETWORKS = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("fd7a:115c:a1e0::/48"))
RFC1918 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
# RFC 1918, RFC 4193, loopback: what is_private says of documentation networks as well.
PRIVATE_NETWORKS = tuple(map(ipaddress.ip_network, (*RFC1918, "127.0.0.0/8", "fc00::/7", "::1/128")))
UNICAST = ("fc00::/7", "2000::/3")
"""What a device's IPv6 address may be. A provider's is of use: hosts prefer IPv4 to the private ones (RFC 6724)."""
SPECIAL = ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
"""Teredo and other protocols, documentation, 6to4."""
TAILSCALED_DEFAULT_PORT = 41641
NODE_PORTS = range(30000, 32768)

T = TypeVar("T")


def _dns_label(value: str, longest: int) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", value) or len(value) > longest:
        raise ValueError(f"{value!r} is not a name of at most {longest} lower-case letters, digits and inner dashes")
    return value


def _stack_id(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{32}", value):
        raise ValueError(f"{value!r} is not a stack's id of 32 hexadecimal digits; `pulumi preview` tells which it is")
    return value


def _server_url(value: str) -> str:
    parts = _url(value, "https://headscale.example.com")
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}:
        raise ValueError(
            f"{value!r} would carry the API key in clear text; use https:// (a private CA goes into ca_certificate)"
        )
    if parts.path.strip("/"):
        raise ValueError(
            f"{value!r} has the path {parts.path}, and nodes dial the host alone; give Headscale a host of its own"
        )
    return value.rstrip("/")


def _peers_url(value: str) -> str:
    parts = _url(value, "http://10.0.0.5:8080 or https://gateway.example.com")
    if parts.scheme == "http" and not _is_private(parts.hostname or ""):
        raise ValueError(
            f"{value!r} would carry the token in clear text outside a private network; use https://, "
            "or http:// with a private address such as http://10.0.0.5:8080"
        )
    if parts.scheme == "http" and parts.path.strip("/"):
        raise ValueError(
            f"{value!r} has the path {parts.path}, and what answers there itself has none; leave the path out, or use "
            "https:// with a proxy that takes it off"
        )
    return value.rstrip("/")


def _url(value: str, example: str) -> SplitResult:
    if {"@", "?", "#"}.intersection(value):  # before anything repeats it
        raise ValueError("the URL must not hold credentials, a query or a fragment")
    try:
        return _split(value)
    except ValueError as error:
        why = f" ({error})" if str(error) else ""
        raise ValueError(f"{value!r} is not a URL such as {example}{why}") from None


def _split(value: str) -> SplitResult:
    parts = urlsplit(value)
    if not parts.hostname or parts.scheme not in {"http", "https"} or parts.port == 0 or re.search(r"\s", value):
        raise ValueError
    hosts.dialled(parts.hostname)
    return parts


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in PRIVATE_NETWORKS)


def _user(value: str) -> str:
    """A name that some version has: what may be made anew differs from one to the other, and the server says so."""
    if not re.fullmatch(r"[^\W_][\w.-]*(@[\w.-]*)?", value):
        raise ValueError(
            f"{value!r} is no name of a Headscale user: a letter or digit, then more of them, dashes, dots, "
            "underscores and at most one @"
        )
    return value


def _private_key(value: SecretStr) -> SecretStr:
    from infra import curve25519  # here, so that a preview without one does not wait for the import of its arithmetic

    curve25519.parse_key(value.get_secret_value(), "it")
    return value


def _endpoint(value: str) -> str:
    _, port = split_endpoint(value)
    if port == TAILSCALED_DEFAULT_PORT:
        raise ValueError(f"port {port} is tailscaled's own; publish WireGuard on another port")
    return value


def _network(value: object) -> IPNetwork:
    try:
        return ipaddress.ip_network(str(value))
    except ValueError:
        raise ValueError(f"{str(value)!r} is not a network such as 10.77.0.0/16 (with no host bits set)") from None


def _address(value: object) -> IPAddress:
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        raise ValueError(f"{str(value)!r} is not an IP address") from None


def _client_network(value: IPNetwork) -> IPNetwork:
    for mesh in MESH_NETWORKS:
        if value.version == mesh.version and value.overlaps(mesh):
            raise ValueError(
                f"{value} lies inside {mesh}, whose addresses tailscaled drops; use for example 10.77.0.0/16"
            )
    if isinstance(value, ipaddress.IPv4Network) and not _inside(value, RFC1918):
        raise ValueError(
            f"{value} is not private: the gateway masquerades its devices, which would only lose the hosts that are "
            f"there; use a network inside {', '.join(RFC1918)}, for example 10.77.0.0/16"
        )
    if isinstance(value, ipaddress.IPv6Network) and (not _inside(value, UNICAST) or _meets(value, SPECIAL)):
        raise ValueError(
            f"{value} is neither private (fc00::/7) nor a provider's (of 2000::/3); use for example fd77::/64"
        )
    if value.num_addresses < 4:
        raise ValueError(f"{value} has no room for the gateway and a device; use a larger network")
    return value


def _inside(network: IPNetwork, others: tuple[str, ...]) -> bool:
    """Whether a network lies wholly inside one of the others, which are of its family."""
    return any(network.subnet_of(ipaddress.ip_network(other)) for other in others)  # type: ignore[arg-type]


def _meets(network: IPNetwork, others: tuple[str, ...]) -> bool:
    return any(network.overlaps(ipaddress.ip_network(other)) for other in others)


def _resolver(value: IPAddress) -> IPAddress:
    hosts.dialled(str(value))
    if value.is_loopback:
        raise ValueError(f"{value} is the device itself; give a resolver that the gateway reaches")
    return value


def _moment(value: object) -> datetime:
    """A date is its first moment in UTC."""
    text = value.isoformat() if isinstance(value, date) else str(value)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment and re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        return moment.replace(tzinfo=UTC)
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{text!r} is not a time such as 2027-06-01T00:00:00Z, or a date such as 2027-06-01")
    return moment.astimezone(UTC)


def _in_order(values: tuple[str, ...]) -> tuple[str, ...]:
    """Each once: nothing is made anew because they are written in another order."""
    return tuple(sorted(set(values)))


def _by_family(networks: tuple[IPNetwork, ...]) -> tuple[IPNetwork, ...]:
    """IPv4 first, for the same reason."""
    return tuple(sorted(networks, key=lambda network: network.version))


def _not_empty(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise ValueError("the list is empty; give at least one")
    return value


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`; ValueError when it is neither, or a host that none can dial."""
    match = re.fullmatch(
        r"(?:\[(?P<v6>[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]|(?P<host>[A-Za-z0-9.-]+)):(?P<port>[0-9]{1,5})", endpoint
    )
    if not match or not 1 <= int(match["port"]) <= 65535:
        raise ValueError(f"{endpoint!r} is not host:port with a port from 1 to 65535, such as vpn.example.com:31820")
    return hosts.dialled(match["v6"] or match["host"]), int(match["port"])


def http_listener(url: str | None, port: int) -> tuple[str, int]:
    """Address and port of an http:// URL; without one `port` for the machine alone, such as for a proxy on it."""
    parts = urlsplit(url or "")
    if parts.scheme == "http" and parts.hostname:
        return parts.hostname, parts.port or 80
    return "127.0.0.1", port


def url_port(url: str | None) -> int | None:
    """The port of an http:// or https:// URL, its scheme's when it names none."""
    parts = urlsplit(url or "")
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)


Name = Annotated[str, AfterValidator(partial(_dns_label, longest=40))]
ObjectName = Annotated[str, AfterValidator(partial(_dns_label, longest=63))]
"""Of somebody else's namespace or container (RFC 1123)."""
StackId = Annotated[str, AfterValidator(_stack_id)]
ServerUrl = Annotated[str, AfterValidator(_server_url)]
PeersUrl = Annotated[str, AfterValidator(_peers_url)]
UserName = Annotated[str, AfterValidator(_user)]
Host = Annotated[str, AfterValidator(hosts.dialled)]
Certificate = Annotated[str, AfterValidator(ca_certificates.from_pem)]
PrivateKey = Annotated[SecretStr, AfterValidator(_private_key)]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
Address = Annotated[IPAddress, BeforeValidator(_address)]
Resolver = Annotated[Address, AfterValidator(_resolver)]
Network = Annotated[IPNetwork, BeforeValidator(_network)]
NotEmpty = AfterValidator(_not_empty)
ClientNetworks = Annotated[
    tuple[Annotated[Network, AfterValidator(_client_network)], ...], NotEmpty, AfterValidator(_by_family)
]
Tags = Annotated[tuple[Annotated[str, Field(pattern=r"^tag:[a-z0-9-]+$")], ...], AfterValidator(_in_order)]
Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Port = Annotated[int, Field(ge=1, le=65535)]
NodePort = Annotated[int, Field(ge=NODE_PORTS.start, le=NODE_PORTS[-1])]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(Ki|Mi|Gi|Ti)$")]
