"""What a gateway's programs are told, in a pod and on a machine alike: their environments and their arguments.

No Pulumi in here: the pod's spec and the playbooks' modules read the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from infra.settings.cluster import ClusterSettings
from infra.settings.gateway import GatewaySettings
from infra.settings.headscale import HeadscaleSettings
from infra.settings.mesh_clients import MeshClientsSettings
from infra.settings.value_types import http_listener

HTTP_PORT = 8080
"""The agent's, where the settings say no other."""
PROBE_PORT, PROBE_PORT_NAME = 8081, "probes"
"""Of /healthz, /readyz and /metrics in a pod."""
TAILSCALE_HEALTH_PORT = 9002
TAILSCALED_ENVIRONMENT = {
    # iptables-legacy, the default, needs NET_RAW.
    "TS_DEBUG_FIREWALL_MODE": "nftables",
}

Text = TypeVar("Text")


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Where a program's API and its probes listen."""

    http_host: str | None = None
    """The address that both listen on; every one when None."""
    http_port: int = HTTP_PORT
    probe_port: int = PROBE_PORT


@dataclass(frozen=True, kw_only=True)
class Places(Listening):
    """Where the programs find their files and each other: what differs between a pod and a machine."""

    private_key_file: str
    token_file: str
    state_dir: str
    settings_dir: str | None = None
    """What `agent_settings` says, where the agent reads it again when it changes; None where its environment has it."""
    issuing_certificate_file: str = ""
    issuing_key_file: str = ""
    tailscale_socket: str
    """Where the agent asks tailscaled, if the gateway is in a mesh."""
    openvpn_dir: str = ""
    """Where the agent and OpenVPN's process meet."""
    ipsec_dir: str = ""
    """Where the agent and charon meet."""
    interface: str | None = None
    """Of WireGuard; the agent's own default (wg0) when None."""
    previous_interface: str = ""
    """Of WireGuard's previous key, whether there is one or not."""
    previous_private_key_file: str = ""


@dataclass(frozen=True, kw_only=True)
class KeyPlaces(Listening):
    """Where the key service finds its files."""

    api_key_file: str
    token_file: str
    ca_certificate_file: str


def agent_environment(
    gateway: GatewaySettings,
    public_key: Text | None,
    places: Places,
    *,
    previous_public_key: Text | None = None,
    in_mesh: bool = True,
) -> dict[str, str | Text]:
    """The environment of `python -m gateway.agent`; an empty value stands for none.

    `public_key` is WireGuard's, None of a gateway that does not offer it; `previous_public_key` that before it, where
    the settings keep it. A change of the environment ends the agent and begins it again. What need not do that is in
    `agent_settings`.
    """
    values: dict[str, str | Text] = {
        "MESHGATE_CLIENT_NETWORKS": _listed(gateway.client_networks),
        "MESHGATE_TOKEN_FILE": places.token_file,
        "MESHGATE_STATE_DIR": places.state_dir,
        **_listening(places),
        "MESHGATE_TAILSCALE_SOCKET": places.tailscale_socket if in_mesh else "",
    }
    if public_key is not None:
        values |= {
            **_interface(places),
            "MESHGATE_LISTEN_PORT": str(gateway.port),
            "MESHGATE_PUBLIC_KEY": public_key,
            "MESHGATE_PRIVATE_KEY_FILE": places.private_key_file,
        }
    if gateway.previous and previous_public_key is not None:
        values |= {
            "MESHGATE_PREVIOUS_INTERFACE": places.previous_interface,
            "MESHGATE_PREVIOUS_LISTEN_PORT": str(gateway.previous.port),
            "MESHGATE_PREVIOUS_PUBLIC_KEY": previous_public_key,
            "MESHGATE_PREVIOUS_PRIVATE_KEY_FILE": places.previous_private_key_file,
        }
    if gateway.renumber:
        values["MESHGATE_RENUMBER"] = "true"
    if gateway.has_certificates:
        values |= {
            **_openvpn(gateway, places),
            **_ipsec(gateway, places),
            "MESHGATE_ISSUING_CERTIFICATE_FILE": places.issuing_certificate_file,
            "MESHGATE_ISSUING_KEY_FILE": places.issuing_key_file,
        }
    return values | ({"MESHGATE_SETTINGS_DIR": places.settings_dir} if places.settings_dir else {})


def agent_settings(gateway: GatewaySettings, cluster: ClusterSettings | None = None) -> dict[str, str]:
    """What the agent takes up while it runs (gateway/agent/live_settings.py); an empty value stands for none.

    A machine has no cluster around it.
    """
    around = cluster or ClusterSettings(pod_networks=(), service_networks=())
    openvpn = {"MESHGATE_OPENVPN_ENDPOINTS": _listed(gateway.openvpn_endpoints)} if gateway.openvpn_ports else {}
    keepalive = {"MESHGATE_PERSISTENT_KEEPALIVE": str(gateway.persistent_keepalive)} if gateway.has_wireguard else {}
    until = gateway.previous.until if gateway.previous else None
    return {
        **openvpn,
        **({"MESHGATE_PREVIOUS_UNTIL": until.isoformat() if until else ""} if gateway.previous else {}),
        "MESHGATE_ENDPOINT": gateway.endpoint,
        "MESHGATE_ALLOWED_IPS": _listed(gateway.allowed_ips),
        "MESHGATE_CLOSED_NETWORKS": _listed((*around.pod_networks, *around.service_networks)),
        "MESHGATE_NODE_NETWORKS": _listed(around.node_networks),
        "MESHGATE_NODE_PORTS": _listed(gateway.node_ports),
        "MESHGATE_ALLOW_NETWORKS": _listed(gateway.allow_networks),
        "MESHGATE_BLOCK_NETWORKS": _listed(gateway.block_networks),
        "MESHGATE_DNS": _listed(gateway.dns),
        "MESHGATE_MTU": str(gateway.mtu),
        **keepalive,
    }


def interface_environment(gateway: GatewaySettings, places: Places) -> dict[str, str]:
    """The environment of `python -m gateway.agent.protocols.wireguard.interface_process`."""
    return {**_interface(places), "MESHGATE_WIREGUARD": gateway.wireguard}


def previous_interface_environment(gateway: GatewaySettings, places: Places) -> dict[str, str]:
    """The same for the interface of the previous key."""
    return {"MESHGATE_INTERFACE": places.previous_interface, "MESHGATE_WIREGUARD": gateway.wireguard}


def openvpn_environment(gateway: GatewaySettings, places: Places) -> dict[str, str]:
    """The environment of `python -m gateway.agent.protocols.openvpn.server_process`."""
    return {**_openvpn(gateway, places), "MESHGATE_CLIENT_NETWORKS": _listed(gateway.client_networks)}


def ipsec_environment(gateway: GatewaySettings, places: Places) -> dict[str, str]:
    """The environment of `python -m gateway.agent.protocols.ipsec.server_process`."""
    previous = {"MESHGATE_PREVIOUS_INTERFACE": places.previous_interface}
    return {**_interface(places), **previous, **_openvpn(gateway, places), **_ipsec(gateway, places)}


def keys_environment(
    server: HeadscaleSettings, clients: MeshClientsSettings, user: Text, places: KeyPlaces
) -> dict[str, str | Text]:
    """The environment of `python -m gateway.keys`; `user` is the Headscale user of the keys."""
    values: dict[str, str | Text] = {
        "MESHGATE_HEADSCALE_URL": server.url,
        "MESHGATE_API_KEY_FILE": places.api_key_file,
        "MESHGATE_USER": user,
        "MESHGATE_KEY_MINUTES": str(clients.key_minutes),
        "MESHGATE_DEVICES_PER_OWNER": str(clients.devices_per_owner),
        "MESHGATE_KEYS_PER_MINUTE": str(clients.keys_per_minute),
        "MESHGATE_TOKEN_FILE": places.token_file,
        **_listening(places),
    }
    if clients.tags:
        values["MESHGATE_TAGS"] = _listed(clients.tags)
    if server.ca_certificate:
        values["MESHGATE_CA_CERTIFICATE_FILE"] = places.ca_certificate_file
    return values


def tailscaled_arguments(gateway: GatewaySettings) -> tuple[str, ...]:
    """The arguments of tailscaled, but for where its state and its socket are."""
    return (f"--port={gateway.tailscale_port}", "--no-logs-no-support")


def tailscale_up_arguments(headscale_url: str) -> tuple[str, ...]:
    """The arguments of `tailscale up`, but for the pre-auth key's file and the host name (gateway.hostname)."""
    return (f"--login-server={headscale_url}", "--advertise-exit-node", "--stateful-filtering=false")


def metal_listener(gateway: GatewaySettings) -> tuple[str, int]:
    """Address and port that the peer API of a machine listens on in clear text: those of an http:// peers_url.

    Without one only programs on the machine itself reach it, such as the proxy of an https:// one.
    """
    return http_listener(gateway.peers_url, HTTP_PORT)


def _listed(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _openvpn(gateway: GatewaySettings, places: Places) -> dict[str, str]:
    listeners = [f"{port.transport}:{port.listened}" for port in gateway.client_ports if port.way == "openvpn"]
    if not listeners:
        return {}
    return {"MESHGATE_OPENVPN_LISTEN": _listed(listeners), "MESHGATE_OPENVPN_DIR": places.openvpn_dir}


def _ipsec(gateway: GatewaySettings, places: Places) -> dict[str, str]:
    return {"MESHGATE_IPSEC_DIR": places.ipsec_dir} if "ipsec" in gateway.access else {}


def _listening(places: Listening) -> dict[str, str]:
    host = {"MESHGATE_HTTP_HOST": places.http_host} if places.http_host else {}
    return host | {"MESHGATE_HTTP_PORT": str(places.http_port), "MESHGATE_PROBE_PORT": str(places.probe_port)}


def _interface(places: Places) -> dict[str, str]:
    return {"MESHGATE_INTERFACE": places.interface} if places.interface else {}
