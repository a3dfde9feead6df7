"""Settings of the agent: environment variables named MESHGATE_ and the field's name in capitals."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.agent.pool import Network
from gateway.agent.protocols.wireguard.keys import PublicKey

MESH_NETWORKS = (ip_network("100.64.0.0/10"), ip_network("fd7a:115c:a1e0::/48"))
"""Addresses of mesh nodes. tailscaled drops packets from them that did not come in by the mesh."""

BLOCKED_NETWORKS = (
    "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,192.168.0.0/16,224.0.0.0/3,"
    "::/127,fc00::/7,fe80::/10,ff00::/8"
)
"""Not on the Internet: the cluster's own pods, Services and nodes, cloud metadata, multicast."""


class SettingsError(Exception):
    """The environment cannot be used; the text has one line per setting."""


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _network(value: object) -> Network:
    try:
        return ip_network(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write a network like 10.77.0.0/24 or fd77::/64") from error


def _address(value: object) -> IPv4Address | IPv6Address:
    return ip_address(str(value))


def _endpoint(text: str) -> str:
    host, colon, port = text.rpartition(":")
    bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536) or bare_ipv6:
        raise ValueError("not host:port (an IPv6 address stands in brackets), for example vpn.example.org:51820")
    return text


List = (NoDecode, BeforeValidator(_split))
Networks = Annotated[tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], *List]
Addresses = Annotated[tuple[Annotated[IPv4Address | IPv6Address, BeforeValidator(_address)], ...], *List]
Endpoint = Annotated[str, AfterValidator(_endpoint)]
InterfaceName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class AgentSettings(BaseSettings):
    """What the agent needs to know. Lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_", frozen=True)

    interface: InterfaceName = "wg0"
    listen_port: Port
    """UDP port of the interface; equal to the published port, so that the gateway can call clients back."""
    endpoint: Endpoint
    """Where clients find the gateway: host:port."""
    client_networks: Networks
    """Addresses of clients: one IPv4 network, one IPv6 network, or both."""
    renumber: bool = False
    """Whether stored devices may get other addresses, which other client networks bring; they are refused else."""
    allowed_ips: Networks = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    """What clients send through the tunnel."""
    dns: Addresses = ()
    """Name servers for clients, reachable for them even inside blocked networks."""
    mtu: int = Field(default=1280, ge=1280, le=9000)
    """Bytes of the largest inner packet; 1280 is the mesh's own and the least that IPv6 allows."""
    persistent_keepalive: int = Field(default=25, ge=0, le=65535)
    """Seconds between keepalives of clients, which hold their NAT open; 0 for none."""
    private_key_file: Path
    public_key: PublicKey
    """The declared key, which the interface must really have."""
    token_file: Path
    """Holds the bearer token of the peer API."""
    state_dir: Path
    """A directory on a volume that outlives the pod."""
    http_host: str = "0.0.0.0"  # noqa: S104 - the orchestrator is in another pod; a token guards the API
    http_port: Port = 8080
    tls_certificate_file: Path | None = None
    """PEM of the API's certificate and its chain; with it the API answers HTTPS and nothing else."""
    tls_private_key_file: Path | None = Field(default=None, validate_default=True)
    mesh_interface: InterfaceName = "tailscale0"
    blocked_networks: Networks = Field(default=BLOCKED_NETWORKS, validate_default=True)
    """Destinations that clients cannot reach, except by the mesh interface."""
    tailscale_health_url: str | None = "http://127.0.0.1:9002/healthz"
    """Answers 200 while tailscaled is connected; empty: there is no mesh to wait for."""
    tailscale_socket: Path | None = None
    """tailscaled's own socket, asked in place of the URL where no containerboot answers that."""

    @field_validator("client_networks")
    @classmethod
    def _client_networks_can_work(cls, networks: tuple[Network, ...]) -> tuple[Network, ...]:
        versions = [network.version for network in networks]
        if not networks or len(versions) != len(set(versions)):
            raise ValueError("there must be one IPv4 network, one IPv6 network, or one of each")
        for network in networks:
            if network.num_addresses < 4:
                raise ValueError(f"{network} has no room for a gateway and a client; take a larger one")
            for mesh in MESH_NETWORKS:
                if network.version == mesh.version and network.overlaps(mesh):
                    raise ValueError(
                        f"{network} overlaps {mesh}, whose addresses belong to mesh nodes and are dropped by "
                        "tailscaled; choose another, for example 10.77.0.0/24"
                    )
        return networks

    @field_validator("tls_private_key_file")
    @classmethod
    def _certificate_has_its_key(cls, key: Path | None, others: ValidationInfo) -> Path | None:
        if (key is None) != (others.data.get("tls_certificate_file") is None):
            raise ValueError("a certificate and its private key are given together, or neither")
        return key

    @field_validator("tailscale_health_url")
    @classmethod
    def _empty_is_none(cls, url: str | None) -> str | None:
        return url or None


AnySettings = TypeVar("AnySettings", bound=BaseSettings)


def load(kind: type[AnySettings]) -> AnySettings:
    """Settings out of the environment; SettingsError with one sentence per setting that cannot be used."""
    try:
        return kind()
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from error


def _sentence(problem: ErrorDetails) -> str:
    name = f"MESHGATE_{problem['loc'][0]}".upper()
    if problem["type"] == "missing":
        return f"{name} is not set"
    return f"{name}: {problem['msg'].removeprefix('Value error, ')} (it is {problem['input']!r})"


def read_secret(name: str, path: Path) -> str:
    """The one line that a mounted secret holds; SettingsError if there is none."""
    try:
        secret = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name}: {path} cannot be read: {getattr(error, 'strerror', 'not text')}") from error
    if not secret:
        raise SettingsError(f"{name}: {path} is empty")
    return secret
