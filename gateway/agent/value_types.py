"""What a setting of the agent may be: text out of the environment as a value. Lists are separated by commas."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from gateway.agent.endpoints import (
    Listener,
    TransportEndpoint,
    check_endpoint,
    parse_listener,
    parse_transport_endpoint,
)
from gateway.agent.pool import Network


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _network(value: object) -> Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write a network like 10.77.0.0/24 or fd77::/64") from error


def _address(value: object) -> IPv4Address | IPv6Address:
    return ip_address(str(value))


def _etcd_endpoint(url: str) -> str:
    """The keys of devices pass here: without TLS only within the machine."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise ValueError(f"{error}; write https://HOST:2379") from error
    if parts.scheme not in {"https", "http"} or not host or port is None or parts.path.strip("/"):
        raise ValueError(f"{url} is no URL of an etcd member; write https://HOST:2379")
    if parts.scheme == "http" and host != "localhost" and not _is_loopback(host):
        raise ValueError(f"{url} would show devices' keys to the network; write https://{parts.netloc}")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


List = (NoDecode, BeforeValidator(_split))
Networks = Annotated[tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], *List]
Address = IPv4Address | IPv6Address
Addresses = Annotated[tuple[Annotated[Address, BeforeValidator(_address)], ...], *List]
Endpoint = Annotated[str, AfterValidator(check_endpoint)]
EtcdEndpoints = Annotated[tuple[Annotated[str, AfterValidator(_etcd_endpoint)], ...], *List]
EtcdPrefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")]
EVERY_ADDRESS = "::"
"""Where a listener is to be reached by IPv6 and by IPv4."""
InterfaceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Ports = Annotated[tuple[Port, ...], *List]
Listeners = Annotated[tuple[Annotated[Listener, BeforeValidator(parse_listener)], ...], *List]
TransportEndpoints = Annotated[
    tuple[Annotated[TransportEndpoint, BeforeValidator(parse_transport_endpoint)], ...], *List
]
