"""Settings of the agent: environment variables named MESHGATE_ and the field's name in capitals.

Some of them may come from a directory that changes while the agent runs: `live_settings`.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.agent.endpoints import IKE_PORT, IPSEC_INTERFACE, NAT_PORT, Transport, WireGuardIdentity
from gateway.agent.pool import Network
from gateway.agent.protocols.wireguard.keys import PublicKey
from gateway.agent.settings_loading import PREFIX
from gateway.agent.store import ProtocolName
from gateway.agent.value_types import (
    EVERY_ADDRESS,
    Addresses,
    Endpoint,
    EtcdEndpoints,
    EtcdPrefix,
    InterfaceName,
    Listeners,
    Networks,
    Port,
    Ports,
    TransportEndpoints,
)

MESH_NETWORKS = (ip_network("100.64.0.0/10"), ip_network("fd7a:115c:a1e0::/48"))
"""Addresses of mesh nodes. tailscaled drops packets from them that did not come in by the mesh."""


class AgentSettings(BaseSettings):
    """What the agent needs to know. Lists are separated by commas."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    interface: InterfaceName = "wg0"
    listen_port: Port | None = None
    """UDP port of the interface; equal to the published port, so that the gateway can call clients back. None without
    WireGuard, as its keys."""
    endpoint: Endpoint
    """Where clients find the gateway: host:port; the port is WireGuard's."""
    client_networks: Networks
    """Addresses of clients: one IPv4 network, one IPv6 network, or both."""
    renumber: bool = False
    """Whether stored devices may get other addresses, which other client networks bring; they are refused else."""
    allowed_ips: Networks = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    """What clients send through the tunnel. The gateway drops whatever else they send."""
    dns: Addresses = ()
    """Name servers for clients, reachable for them even inside closed networks."""
    mtu: int = Field(default=1280, ge=1280, le=9000)
    """Bytes of the largest inner packet; 1280 is the mesh's own and the least that IPv6 allows."""
    persistent_keepalive: int = Field(default=25, ge=0, le=65535)
    """Seconds between keepalives of clients, which hold their NAT open; 0 for none."""
    private_key_file: Path | None = None
    public_key: PublicKey | None = None
    """The declared key, which the interface must really have."""
    previous_interface: InterfaceName | None = None
    """The interface of the key before a rotation, by which devices with older configs still come in; None without one,
    as its port and keys. In a rotation the new key gets a new interface, so that sessions of the old one go on."""
    previous_listen_port: Port | None = None
    previous_private_key_file: Path | None = None
    previous_public_key: PublicKey | None = None
    previous_until: AwareDatetime | None = None
    """When the previous key ends, for example 2026-12-31T00:00:00Z; None: not before a start without it."""
    token_file: Path
    """Holds the bearer tokens of the peer API with their scopes; read again when it changes."""
    settings_dir: Path | None = None
    """Holds settings that may change while the agent runs; read again when it changes."""
    state_dir: Path
    """A directory on a volume that outlives the pod."""
    store: Literal["sqlite", "etcd"] = "sqlite"
    """Where devices are kept: on the volume, for one member, or in etcd, for several."""
    etcd_endpoints: EtcdEndpoints = ()
    """URLs of etcd's members, the nearest first, for example https://10.0.0.1:2379,https://10.0.0.2:2379."""
    etcd_prefix: EtcdPrefix = "meshgate/gateway"
    """What the keys of this gateway's devices begin with; the same for all of its members, and nobody else's."""
    etcd_ca_file: Path | None = None
    """PEM of the CA that etcd's members are known by; None for the CAs that the machine trusts."""
    etcd_certificate_file: Path | None = None
    """PEM of the certificate that etcd asks its clients for; None if it asks for none."""
    etcd_key_file: Path | None = None
    http_host: str = EVERY_ADDRESS
    """The orchestrator is in another pod; a token guards the API."""
    http_port: Port = 8080
    probe_port: Port = 8081
    """TCP port of /healthz, /readyz and /metrics, at the API's address."""
    tls_certificate_file: Path | None = None
    """PEM of the API's certificate and its chain; with it the API answers HTTPS and nothing else."""
    tls_private_key_file: Path | None = Field(default=None, validate_default=True)
    openvpn_listen: Listeners = ()
    """Where OpenVPN listens, for example udp:1194,tcp:1194; empty without OpenVPN."""
    openvpn_endpoints: TransportEndpoints = ()
    """Where OpenVPN's clients find the gateway, for example udp:vpn.example.org:1194,tcp:vpn.example.org:443."""
    openvpn_dir: Path = Path("/run/meshgate-openvpn")
    """Where the agent and OpenVPN's process meet."""
    ipsec_dir: Path | None = None
    """Where the agent and charon meet; none without IPsec."""
    issuing_certificate_file: Path | None = None
    """PEM of the certificate that the gateway issues others with, and of the CA above it."""
    issuing_key_file: Path | None = Field(default=None, validate_default=True)
    mesh_interface: InterfaceName = "tailscale0"
    closed_networks: Networks = ()
    """Closed besides those of the module closed_networks: the cluster's pods and Services."""
    node_addresses: Addresses = ()
    """Addresses of the node below the pod, as Kubernetes tells them to it."""
    node_networks: Networks = ()
    """Where the cluster's nodes have addresses."""
    node_ports: Ports = ()
    """The TCP ports of nodes, or of the machine itself, that are open: the app's own API may be there."""
    allow_networks: Networks = ()
    """Open although they are closed by default; never a node's other ports."""
    block_networks: Networks = ()
    """Closed whatever else is said, by the mesh interface too."""
    tailscale_socket: Path | None = None
    """tailscaled's own, by which it tells how it is; empty: there is no mesh to wait for."""

    @property
    def client_interfaces(self) -> tuple[str, ...]:
        """The interfaces that clients come in by."""
        wireguard = (one.interface for one in self.identities)
        openvpn = (listener.interface for listener in self.openvpn_listen)
        return (*wireguard, *openvpn, *((IPSEC_INTERFACE,) if self.ipsec_dir else ()))

    @property
    def client_ports(self) -> tuple[tuple[Transport, int], ...]:
        """What clients dial, by transport, as this pod or machine listens."""
        wireguard: tuple[tuple[Transport, int], ...] = tuple(("udp", one.listen_port) for one in self.identities)
        openvpn = ((one.transport, one.port) for one in self.openvpn_listen)
        ike: tuple[tuple[Transport, int], ...] = (("udp", IKE_PORT), ("udp", NAT_PORT)) if self.ipsec_dir else ()
        return (*wireguard, *openvpn, *ike)

    @property
    def offered(self) -> tuple[ProtocolName, ...]:
        """The protocols that devices come in by."""
        own: dict[ProtocolName, object] = {
            "wireguard": self.wireguard,
            "openvpn": self.openvpn_listen,
            "ipsec": self.ipsec_dir,
        }
        return tuple(name for name, value in own.items() if value)

    @property
    def wireguard(self) -> WireGuardIdentity | None:
        """Who the gateway is to WireGuard's clients; None where it does not offer that."""
        if self.listen_port is None or self.private_key_file is None or self.public_key is None:
            return None
        return WireGuardIdentity(self.interface, self.listen_port, self.private_key_file, self.public_key)

    @property
    def previous(self) -> WireGuardIdentity | None:
        """Who the gateway was before the key was rotated, and is to devices with older configs; None if to nobody."""
        port, key_file, key = self.previous_listen_port, self.previous_private_key_file, self.previous_public_key
        if self.previous_interface is None or port is None or key_file is None or key is None:
            return None
        return WireGuardIdentity(self.previous_interface, port, key_file, key)

    @property
    def identities(self) -> tuple[WireGuardIdentity, ...]:
        """The present one and the previous one, as far as there are any."""
        return tuple(one for one in (self.wireguard, self.previous) if one)

    @property
    def host(self) -> str:
        """The endpoint's name or address, without brackets."""
        return self.endpoint.rpartition(":")[0].strip("[]")

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

    @field_validator("issuing_key_file")
    @classmethod
    def _certificates_have_an_issuer(cls, key: Path | None, others: ValidationInfo) -> Path | None:
        certified = others.data.get("openvpn_listen") or others.data.get("ipsec_dir")
        if certified and not (key and others.data.get("issuing_certificate_file")):
            raise ValueError("OpenVPN and IPsec need an issuing certificate and its key")
        listening = {one.transport for one in others.data.get("openvpn_listen", ())}
        if listening != {one.transport for one in others.data.get("openvpn_endpoints", ())}:
            raise ValueError("MESHGATE_OPENVPN_ENDPOINTS needs one endpoint for each transport of OPENVPN_LISTEN")
        return key

    @field_validator("tls_private_key_file")
    @classmethod
    def _certificate_has_its_key(cls, key: Path | None, others: ValidationInfo) -> Path | None:
        if (key is None) != (others.data.get("tls_certificate_file") is None):
            raise ValueError("a certificate and its private key are given together, or neither")
        return key

    @field_validator("tailscale_socket", "previous_until", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _offers_a_protocol(self) -> Self:
        own = {
            "MESHGATE_LISTEN_PORT": self.listen_port,
            "MESHGATE_PRIVATE_KEY_FILE": self.private_key_file,
            "MESHGATE_PUBLIC_KEY": self.public_key,
        }
        missing = [name for name, value in own.items() if value is None]
        if missing and len(missing) < len(own):
            raise ValueError(f"WireGuard needs all of {', '.join(own)}, and has no {' and no '.join(missing)}")
        self._check_previous()
        self._check_etcd()
        if not self.offered:
            raise ValueError(
                "no protocol is offered: set MESHGATE_LISTEN_PORT with WireGuard's keys, MESHGATE_OPENVPN_LISTEN or "
                "MESHGATE_IPSEC_DIR"
            )
        return self

    def _check_previous(self) -> None:
        names = ("interface", "listen_port", "private_key_file", "public_key")
        missing = [f"{PREFIX}PREVIOUS_{name.upper()}" for name in names if getattr(self, f"previous_{name}") is None]
        if len(missing) == len(names):
            return
        if missing:
            raise ValueError(f"the previous key needs all of its settings, and has no {' and no '.join(missing)}")
        if self.wireguard is None:
            raise ValueError("MESHGATE_PREVIOUS_PUBLIC_KEY: there is no previous key without a present one")
        for name in names:
            if getattr(self, name) == getattr(self, f"previous_{name}"):
                one, other = (f"{prefix}{name.upper()}" for prefix in (f"{PREFIX}PREVIOUS_", PREFIX))
                raise ValueError(f"{one} is the same as {other}: the previous key has its own")

    def _check_etcd(self) -> None:
        if self.store == "etcd" and not self.etcd_endpoints:
            raise ValueError("MESHGATE_STORE is etcd: set MESHGATE_ETCD_ENDPOINTS to its members, https://HOST:2379")
        if (self.etcd_certificate_file is None) != (self.etcd_key_file is None):
            raise ValueError("MESHGATE_ETCD_CERTIFICATE_FILE and MESHGATE_ETCD_KEY_FILE are given together, or neither")
