"""The typed settings of a stack: what may stand in Pulumi.<stack>.yaml under `meshgate:`.

Every rule that can be checked without touching a system is checked here, so that `pulumi preview` refuses a bad
value before anything is changed. One sentence an error: the setting, what is wrong, what would be right.
No Pulumi in here: the program, the dynamic resources and the playbooks read the same settings.
"""

import ipaddress
import itertools
import json
from collections.abc import Callable, Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from infra.values import (
    NODE_PORTS,
    TAILSCALED_DEFAULT_PORT,
    Address,
    Certificate,
    ClientNetwork,
    Endpoint,
    Host,
    IPNetwork,
    Name,
    Network,
    NodePort,
    NotEmpty,
    PeersUrl,
    Port,
    Quantity,
    ServerUrl,
    split_endpoint,
)


class SettingsError(ValueError):
    """Settings that cannot work; the text has one sentence a line."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IngressSettings(_Settings):
    """How a managed Headscale is published by an ingress controller that passes protocol upgrades on."""

    class_name: str = "nginx"
    tls_secret: str
    """Name of the kubernetes.io/tls Secret for the host of headscale.url, in the stack's namespace."""


class HeadscaleSettings(_Settings):
    """The Headscale server: declared by the stack (`managed`), or an existing one by its URL."""

    managed: bool
    url: ServerUrl
    """What nodes and this program dial, such as https://headscale.example.com."""
    ca_certificate: Certificate | None = None
    """PEM of the CA that signed the URL's certificate, when it is not a public one."""
    user: Name | None = None
    """The Headscale user that owns this stack's nodes; meshgate-<stack> when not set."""
    image: str = "headscale/headscale:0.29.2"
    storage: Quantity = "1Gi"
    storage_class: str | None = None
    ingress: IngressSettings | None = None
    node_port: NodePort | None = None
    """Publishes the HTTP port on every node, for a proxy of the user's own."""
    stun_node_port: NodePort | None = None

    @model_validator(mode="after")
    def _server_settings_need_a_managed_server(self) -> Self:
        server_only = {"image", "storage", "storage_class", "ingress", "node_port", "stun_node_port"}
        if not self.managed and (given := sorted(server_only & self.model_fields_set)):
            raise ValueError(f"{', '.join(given)} describe a server of ours; leave them out or set managed: true")
        return self


class GatewaySettings(_Settings):
    """One gateway: exit node of the mesh and WireGuard endpoint of native clients."""

    KUBERNETES_ONLY: ClassVar = frozenset(
        {"exposure", "service_annotations", "image", "tailscale_image", "storage", "storage_class"}
    )
    METAL_ONLY: ClassVar = frozenset({"host", "peers_url"})

    name: Name
    endpoint: Endpoint
    """host:port that clients dial. WireGuard listens on that port too: so its first packet fits a client's NAT."""
    target: Literal["kubernetes", "metal"] = "kubernetes"
    """Where it runs: a pod that the stack declares, or a machine that `playbooks/gateway.yml` converges."""
    host: Host | None = None
    """Of a machine, what SSH dials; the endpoint's host when not set."""
    peers_url: PeersUrl | None = None
    """Of a machine, where the orchestrator reaches the peer API: http:// at a private address, on which the agent then
    listens, or https:// with a certificate that the playbook is given, or of a proxy on the machine."""
    exposure: Literal["NodePort", "LoadBalancer", "HostPort"] = "NodePort"
    service_annotations: dict[str, str] = {}
    client_networks: Annotated[tuple[ClientNetwork, ...], NotEmpty] = (ipaddress.IPv4Network("10.77.0.0/16"),)
    """The devices' address pools; an IPv6 one needs net.ipv6.conf.all.forwarding among the kubelet's sysctls."""
    allowed_ips: Annotated[tuple[Network, ...], NotEmpty] = (
        ipaddress.IPv4Network("0.0.0.0/0"),
        ipaddress.IPv6Network("::/0"),
    )
    """What clients send into the tunnel."""
    dns: tuple[Address, ...] = ()
    key_rotation: str = ""
    """Any text; another one makes a new WireGuard key, with which every client needs a new config."""
    mtu: Annotated[int, Field(ge=1280, le=1420)] = 1280
    """Of the tunnel, in bytes: 1280 is tailscale0's and the least of IPv6 (RFC 8200), 1420 what a 1500-byte path leaves
    to WireGuard."""
    persistent_keepalive: Annotated[int, Field(ge=0, le=65535)] = 25
    """Seconds between a client's keepalives; 0 for none."""
    tailscale_port: Port = 41642
    tags: tuple[Annotated[str, Field(pattern=r"^tag:[a-z0-9-]+$")], ...] = ()
    registration_deadline: Annotated[int, Field(ge=10, le=1800)] = 180
    """Seconds that the gateway has to appear in Headscale."""
    image: str = "meshgate/gateway:0.1.0"
    tailscale_image: str = "tailscale/tailscale:v1.102.3"
    wireguard: Literal["auto", "kernel", "userspace"] = "auto"
    storage: Quantity = "1Gi"
    storage_class: str | None = None

    @property
    def port(self) -> int:
        """The published port, which is also the one that WireGuard listens on."""
        return split_endpoint(self.endpoint)[1]

    @property
    def hostname(self) -> str:
        """The node's name in Headscale."""
        return f"meshgate-{self.name}"

    @property
    def ssh_host(self) -> str | None:
        """What SSH dials; None of a gateway in the cluster."""
        return (self.host or split_endpoint(self.endpoint)[0]) if self.target == "metal" else None

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
        if not metal and self.exposure == "NodePort" and self.port not in NODE_PORTS:
            raise ValueError(
                f"endpoint port {self.port} is no NodePort; use {NODE_PORTS.start}-{NODE_PORTS[-1]} or another exposure"
            )
        if self.tailscale_port == TAILSCALED_DEFAULT_PORT:
            raise ValueError(
                f"tailscale_port {TAILSCALED_DEFAULT_PORT} is what a tailscaled on the node uses; leave it at 41642"
            )
        if self.tailscale_port == self.port:
            raise ValueError(f"tailscale_port {self.port} is also the endpoint's port; they need two ports")
        for one, other in itertools.combinations(self.client_networks, 2):
            if one.version == other.version:
                raise ValueError(
                    f"client_networks {one} and {other} are of one family; give one IPv4 and at most one IPv6 network"
                )
        if not any(network.version == 4 for network in self.client_networks):
            raise ValueError("client_networks has no IPv4 network; give one, for example 10.77.0.0/16")
        return self


class OrchestratorSettings(_Settings):
    """The Deployment that hands out WireGuard configs; its env gets the gateway's key and addresses."""

    deployment: str
    namespace: str = "june-services"
    container: str = "orchestrator"
    gateway: Name | None = None
    """Of several, the one of HEADSCALE_SERVER_PUBLIC_KEY and the like; the first when not set."""


class ClusterSettings(_Settings):
    """What the Kubernetes cluster uses itself, so that client networks keep clear of it."""

    context: str | None = None
    """kubeconfig context; the current one when not set."""
    pod_networks: tuple[Network, ...] = (ipaddress.IPv4Network("10.244.0.0/16"),)
    service_networks: tuple[Network, ...] = (ipaddress.IPv4Network("10.96.0.0/12"),)


class Settings(_Settings):
    """All settings of a stack."""

    namespace: Name = "meshgate"
    protect: bool | None = None
    """Whether Pulumi refuses to replace or delete what cannot be had again: gateways' keys, nodes and volumes. The
    policy pack wants every stack but the lab to say: true for prod, false where all may be lost."""
    cluster: ClusterSettings = ClusterSettings()
    headscale: HeadscaleSettings
    headscale_api_key: SecretStr | None = None
    """Of an existing server (`pulumi config set --secret headscale_api_key`); a managed one makes its own."""
    gateways: Annotated[tuple[GatewaySettings, ...], NotEmpty]
    orchestrator: Annotated[OrchestratorSettings | None, BeforeValidator(lambda value: value or None)] = None

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.headscale.managed and self.headscale_api_key:
            raise ValueError(
                "headscale_api_key is set, but a managed server makes its own; remove it or set headscale.managed false"
            )
        if not self.headscale.managed and not self.headscale_api_key:
            raise ValueError(
                "headscale_api_key is missing: an existing server needs one; "
                "run `headscale apikeys create` there and `pulumi config set --secret headscale_api_key`"
            )
        _refuse_repeats("name", [gateway.name for gateway in self.gateways])
        _refuse_repeats("endpoint", [gateway.endpoint for gateway in self.gateways])
        _refuse_repeats("host", [gateway.ssh_host for gateway in self.gateways if gateway.ssh_host])
        _refuse_overlaps(self)
        if self.orchestrator:
            _refuse_unreachable(self.orchestrator, self.gateways)
        return self


def load(get: Callable[[str], object | None], keys: Iterable[str] = ()) -> Settings:
    """The settings that `get` answers key by key (structured values as JSON text or as they are).

    `keys` are all keys that the stack sets, to refuse unknown ones. Raises SettingsError, one sentence a line.
    """
    names = {*Settings.model_fields, *keys}
    values = {name: _decoded(name, value) for name in names if (value := get(name)) is not None}
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(map(_sentence, error.errors()))) from None


def _decoded(name: str, value: object) -> object:
    if not isinstance(value, str) or name in {"namespace", "headscale_api_key"}:
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _sentence(error: ErrorDetails) -> str:
    where = "meshgate:" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])
    where = where.replace("meshgate:.", "meshgate:")
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        what = f"there is no such setting; known here are {', '.join(_known(error['loc'][:-1]))}"
    if error["type"] == "missing":
        what = "it is missing and has no default"
    elif error["loc"] == ("headscale_api_key",):
        what = "it is not text"  # and is not repeated
    elif isinstance(error["input"], int | float | str) and what.startswith(("Input ", "String ")):
        what = f"{error['input']!r} cannot be used: it {what.partition(' ')[2]}"
    return f"{where}: {what}." if error["loc"] else f"meshgate: {what}."


def _known(path: tuple[int | str, ...]) -> list[str]:
    """The fields of the model at a path of an error, such as ("gateways", 0)."""
    models: dict[str, type[BaseModel]] = {
        "": Settings,
        "cluster": ClusterSettings,
        "headscale": HeadscaleSettings,
        "ingress": IngressSettings,
        "gateways": GatewaySettings,
        "orchestrator": OrchestratorSettings,
    }
    names = [part for part in path if isinstance(part, str)]
    return sorted(models[names[-1] if names else ""].model_fields)


def _refuse_repeats(what: str, values: list[str]) -> None:
    if repeated := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"gateways share the {what} {', '.join(repeated)}; each needs its own")


def _refuse_overlaps(settings: Settings) -> None:
    cluster: list[tuple[str, IPNetwork]] = [
        *(("cluster.pod_networks", network) for network in settings.cluster.pod_networks),
        *(("cluster.service_networks", network) for network in settings.cluster.service_networks),
    ]
    clients: list[tuple[str, IPNetwork]] = []
    for index, gateway in enumerate(settings.gateways):
        for network in gateway.client_networks:
            for owner, other in [*(cluster if gateway.target == "kubernetes" else []), *clients]:
                if network.version == other.version and network.overlaps(other):
                    raise ValueError(
                        f"gateways[{index}].client_networks {network} overlaps {other} of {owner}; choose a free one"
                    )
            clients.append((f"gateways[{index}].client_networks", network))


def _refuse_unreachable(orchestrator: OrchestratorSettings, gateways: tuple[GatewaySettings, ...]) -> None:
    names = [gateway.name for gateway in gateways]
    if orchestrator.gateway and orchestrator.gateway not in names:
        raise ValueError(f"orchestrator.gateway {orchestrator.gateway} is no gateway; there are {', '.join(names)}")
    for index, gateway in enumerate(gateways):
        if gateway.target == "metal" and not gateway.peers_url:
            raise ValueError(
                f"gateways[{index}].peers_url is missing: the orchestrator lets devices in there; "
                "give for example http://10.0.0.5:8080, or leave `orchestrator` out"
            )
