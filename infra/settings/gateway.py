"""The section `gateways`, of one gateway."""

import ipaddress
import itertools
from functools import cached_property
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from infra.settings import client_ports, ways
from infra.settings.api_caller import ApiCaller
from infra.settings.client_ports import ClientPort
from infra.settings.kubernetes_names import ExtraAnnotations
from infra.settings.monitoring import MonitoringSettings
from infra.settings.openvpn import OpenVpnSettings
from infra.settings.pod import PodSettings
from infra.settings.previous_key import PreviousKeySettings
from infra.settings.section import Section
from infra.settings.value_types import (
    TAILSCALED_DEFAULT_PORT,
    ClientNetworks,
    Endpoint,
    Host,
    IPNetwork,
    Name,
    Network,
    NotEmpty,
    PeersUrl,
    Port,
    PrivateKey,
    Quantity,
    Resolver,
    Tags,
    split_endpoint,
    url_port,
)

MAX_DEVICES = 65_536
"""wireguard-go holds no more peers than this (its device/constants.go)."""


class GatewaySettings(Section):
    """One gateway: where native clients come in, and exit node of the mesh."""

    KUBERNETES_ONLY: ClassVar = frozenset(
        {
            *("exposure", "service_annotations", "api_from", "monitoring"),
            *("image", "tailscale_image", "storage", "storage_class", "pod"),
        }
    )
    METAL_ONLY: ClassVar = frozenset({"host", "peers_url", "probe_port"})
    WIREGUARD_ONLY: ClassVar = frozenset({"wireguard", "persistent_keepalive", "private_key", "previous_key"})
    MESH_ONLY: ClassVar = frozenset({"tags", "tailscale_port", "tailscale_image"})

    name: Name
    """Its name in the stack; its node in the mesh is meshgate-<name>."""
    endpoint: Endpoint
    """host:port that clients dial. WireGuard listens on that port too: its first packet then fits a client's NAT.
    Clients of other ways dial the host at ports of their own."""
    target: Literal["kubernetes", "metal"] = "kubernetes"
    """Where it runs: a pod that the stack declares, or a machine that `playbooks/gateway.yml` converges."""
    mesh: bool = True
    """Whether it is an exit node of the mesh, where the stack has `headscale`. One that is not is plain: its clients
    reach the Internet alone."""
    access: Annotated[tuple[Literal["wireguard", "openvpn", "ipsec"], ...], NotEmpty] = ("wireguard",)
    """The ways that devices get in, one or more of them. A gateway without `wireguard` has no WireGuard key. IPsec's
    clients dial the UDP ports 500 and 4500 of the endpoint's host."""
    openvpn: OpenVpnSettings | None = None
    host: Host | None = None
    """What SSH dials to reach a machine; the endpoint's host when not set."""
    peers_url: PeersUrl | None = None
    """Where the orchestrator reaches the peer API of a machine. The agent listens at the private address of an http://
    URL. An https:// URL needs a certificate that the playbook is given, or a proxy on the machine."""
    probe_port: Port = 8081
    """The TCP port of a machine's /healthz, /readyz and /metrics, at the address that the agent listens on."""
    exposure: Literal["NodePort", "LoadBalancer", "HostPort"] = "NodePort"
    """How the ports that clients dial get out of the cluster. A NodePort is one of 30000-32767."""
    service_annotations: ExtraAnnotations = Field(default_factory=dict)
    """Annotations of the Service of the ports that clients dial, such as a load balancer's."""
    client_networks: ClientNetworks = (ipaddress.IPv4Network("10.77.0.0/16"),)
    """The devices' address pools: one private IPv4 network and at most one IPv6 network, private or a provider's. In a
    cluster an IPv6 network needs net.ipv6.conf.all.forwarding among the kubelet's allowed sysctls."""
    renumber: bool = False
    """Whether devices may lose the addresses that they have, which other `client_networks` would take from them. The
    gateway does not start otherwise. Each must register again to learn its new ones."""
    allowed_ips: Annotated[tuple[Network, ...], NotEmpty] = (
        ipaddress.IPv4Network("0.0.0.0/0"),
        ipaddress.IPv6Network("::/0"),
    )
    """What clients send into the tunnel. The gateway drops the rest."""
    node_ports: tuple[Port, ...] = (80, 443)
    """The TCP ports of the cluster's nodes, or of a machine itself, that clients reach: the app's own API may be there.
    Every other port of a node is closed."""
    allow_networks: tuple[Network, ...] = ()
    """Opens networks that are closed by default, such as an internal service's. A node's other ports stay closed."""
    block_networks: tuple[Network, ...] = ()
    """Closes more networks, in the mesh too. It wins over every other setting but `dns`."""
    api_from: tuple[ApiCaller, ...] = ()
    """Who reaches a pod's peer API besides the orchestrator's namespace, where the cluster enforces NetworkPolicy."""
    dns: tuple[Resolver, ...] = ()
    """The resolvers that clients use in the tunnel, which the gateway must reach. They may be in closed networks."""
    key_rotation: str = ""
    """Any text. Another text makes new keys, WireGuard's and the issuer's of certificates. Every client then needs a
    new config. With `previous_key` it makes a new WireGuard key alone, and old configs go on to work."""
    previous_key: PreviousKeySettings | None = None
    private_key: PrivateKey | None = None
    """An existing WireGuard private key, with which clients keep their configs
    (`pulumi config set --secret --path 'gateways[0].private_key'`). The key stays when this is taken out again. Without
    it the stack makes a key once."""
    token_rotation: str = ""
    """Any text. Another text makes new tokens for the peer API. The orchestrator gets its new one at once; its old one
    stays good until the next rotation. Nobody notices."""
    mtu: Annotated[int, Field(ge=1280, le=1420)] = 1280
    """The tunnel's largest packet, in bytes. 1280 is tailscale0's and the least of IPv6 (RFC 8200). 1420 is what a
    1500-byte path leaves to WireGuard."""
    persistent_keepalive: Annotated[int, Field(ge=0, le=65535)] = 25
    """Seconds between a WireGuard client's keepalives; 0 for none."""
    tailscale_port: Port = 41642
    """The UDP port of the gateway's tailscaled. 41641 is refused: it is the port of the node's own tailscaled."""
    tags: Tags = ()
    """Tags of the gateway's node in Headscale."""
    registration_deadline: Annotated[int, Field(ge=10, le=1800)] = 180
    """Seconds that the gateway has to join the mesh, from the start of its pod or of a machine's tailscaled. A pod then
    has as long again to be ready."""
    image: str = "meshgate/gateway:0.1.0"
    """The image of a pod's agent and of its servers, in a registry of yours."""
    tailscale_image: str = "tailscale/tailscale:v1.102.3"
    """The image of a pod's tailscaled."""
    wireguard: Literal["auto", "kernel", "userspace"] = "auto"
    """Whose WireGuard: the kernel's, or wireguard-go in userspace; `auto` takes the kernel's if there is one."""
    storage: Quantity = "1Gi"
    """The size of a pod's volume, which holds the devices and the identity in the mesh."""
    storage_class: str | None = None
    """The storage class of a pod's volume; the cluster's default when not set."""
    monitoring: MonitoringSettings | None = None
    pod: PodSettings = PodSettings()

    @property
    def port(self) -> int:
        """The endpoint's port, which is published for WireGuard, and the one that it listens on."""
        return split_endpoint(self.endpoint)[1]

    @cached_property
    def previous(self) -> PreviousKeySettings | None:
        """The key before the present one, as long as its time has not come; the same in one run of a program."""
        return None if self.previous_key is None or self.previous_key.is_over else self.previous_key

    @property
    def previous_endpoint(self) -> str | None:
        """The host:port that older configs dial; None where the key before is not kept."""
        return f"{self.endpoint.rpartition(':')[0]}:{self.previous.port}" if self.previous else None

    @property
    def has_wireguard(self) -> bool:
        """Whether devices come in by WireGuard."""
        return "wireguard" in self.access

    @property
    def has_certificates(self) -> bool:
        """Whether devices come in by certificates."""
        return bool({"openvpn", "ipsec"}.intersection(self.access))

    @property
    def openvpn_ports(self) -> dict[str, int]:
        """OpenVPN's published ports, by their transports; none without OpenVPN."""
        return (self.openvpn or OpenVpnSettings()).ports if "openvpn" in self.access else {}

    @property
    def client_ports(self) -> tuple[ClientPort, ...]:
        """All that clients dial. A machine publishes the very ports that it listens on."""
        return client_ports.of(self)

    @property
    def openvpn_endpoints(self) -> list[str]:
        """What OpenVPN's clients dial, such as udp:vpn.example.com:31194."""
        host = self.endpoint.rpartition(":")[0]
        return [f"{transport}:{host}:{port}" for transport, port in self.openvpn_ports.items()]

    @property
    def hostname(self) -> str:
        """The node's name in Headscale."""
        return f"meshgate-{self.name}"

    @property
    def ssh_host(self) -> str | None:
        """What SSH dials; None of a gateway in the cluster."""
        return (self.host or split_endpoint(self.endpoint)[0]) if self.target == "metal" else None

    @property
    def capacity(self) -> int:
        """For how many devices there are addresses; no more than wireguard-go takes, which bounds other ways too."""
        hosts = min(network.num_addresses - (3 if network.version == 4 else 2) for network in self.client_networks)
        return min(hosts, MAX_DEVICES)

    @property
    def ipv6(self) -> bool:
        """Whether devices get IPv6 addresses."""
        return any(network.version == 6 for network in self.client_networks)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        metal = self.target == "metal"
        if given := sorted((self.KUBERNETES_ONLY if metal else self.METAL_ONLY) & self.model_fields_set):
            what, right = ("a pod", "kubernetes") if metal else ("a machine", "metal")
            raise ValueError(f"{', '.join(given)} describe {what}; leave them out or set target: {right}")
        if self.tailscale_port == TAILSCALED_DEFAULT_PORT:
            raise ValueError(
                f"tailscale_port {TAILSCALED_DEFAULT_PORT} is what a tailscaled on the node uses; leave it at 41642"
            )
        if metal and self.probe_port == (peers_port := url_port(self.peers_url)):
            raise ValueError(f"probe_port {peers_port} is also the port of peers_url; they need two ports")
        return self

    @model_validator(mode="after")
    def _ways_fit(self) -> Self:
        for problem in ways.problems(self):
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _networks_fit(self) -> Self:
        for one, other in itertools.combinations(self.client_networks, 2):
            if one.version == other.version:
                raise ValueError(
                    f"client_networks {one} and {other} are of one family; give one IPv4 and at most one IPv6 network"
                )
        for network in self.allow_networks:
            for other, what in [
                *((block, "block_networks, which win") for block in self.block_networks if _within(network, block)),
                *((own, "client_networks, and clients never reach each other") for own in self.client_networks),
            ]:
                if _within(network, other):
                    raise ValueError(f"allow_networks {network} opens nothing: it lies inside {other} of {what}")
        if not any(network.version == 4 for network in self.client_networks):
            raise ValueError("client_networks has no IPv4 network; give one, for example 10.77.0.0/16")
        return self


def _within(network: IPNetwork, other: IPNetwork) -> bool:
    """Whether one network lies wholly inside the other."""
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)
