"""The containers of the gateway's pod: each with NET_ADMIN, its probes, its share of memory.

Interface, OpenVPN and IPsec have containers of their own so that tunnels outlive the agent.
"""

from collections.abc import Mapping

import pulumi

from infra import gateway_programs
from infra.components.gateway_identity import GatewayIdentity, MeshIdentity
from infra.resources.token import digest
from infra.secret_contents import (
    ISSUING_CERTIFICATE,
    ISSUING_KEY,
    PRE_AUTH_KEY,
    PREVIOUS_PRIVATE_KEY,
    PRIVATE_KEY,
    TOKENS,
)
from infra.settings.client_ports import PREVIOUS_SERVER
from infra.settings.gateway import GatewaySettings
from infra.settings.resources import resources

CA_CERTIFICATE = "ca.crt"
IDENTITY = "/etc/meshgate"
CERTIFICATES = "/etc/meshgate-certificates"
SETTINGS = "/etc/meshgate-settings"
AGENT_STATE = "/var/lib/meshgate"
TAILSCALE_STATE = "/var/lib/tailscale"
TAILSCALE_MEETING = "/var/run/tailscale"
"""Where the agent meets tailscaled, the official image's own place. tailscaled heeds root; the agent only asks it."""
WIREGUARD_SOCKETS = "/var/run/wireguard"
OPENVPN_MEETING = "/run/meshgate-openvpn"
IPSEC_MEETING = "/run/meshgate-ipsec"
MEETINGS = {"wireguard": WIREGUARD_SOCKETS, "openvpn": OPENVPN_MEETING, "ipsec": IPSEC_MEETING}
"""Where the agent meets the servers of the ways in."""
INTERFACE = "gateway.agent.protocols.wireguard.interface_process"
PLACES = gateway_programs.Places(
    private_key_file=f"{IDENTITY}/{PRIVATE_KEY}",
    token_file=f"{IDENTITY}/{TOKENS}",
    settings_dir=SETTINGS,
    state_dir=AGENT_STATE,
    issuing_certificate_file=f"{IDENTITY}/{ISSUING_CERTIFICATE}",
    issuing_key_file=f"{IDENTITY}/{ISSUING_KEY}",
    tailscale_socket=f"{TAILSCALE_MEETING}/tailscaled.sock",
    openvpn_dir=OPENVPN_MEETING,
    ipsec_dir=IPSEC_MEETING,
    previous_interface="wg-previous",
    previous_private_key_file=f"{IDENTITY}/{PREVIOUS_PRIVATE_KEY}",
)


def _told_by_kubernetes(name: str, path: str) -> dict[str, object]:
    return {"name": name, "value_from": {"field_ref": {"api_version": "v1", "field_path": path}}}


NODE_ADDRESSES = _told_by_kubernetes("MESHGATE_NODE_ADDRESSES", "status.hostIPs")
"""The node's addresses as the pod starts, IPv4 and IPv6; of Kubernetes 1.29 and later."""
POD_ADDRESS = _told_by_kubernetes("POD_IP", "status.podIP")
"""Kubernetes puts it in the place of $(POD_IP) in what follows it. It is where a kubelet asks its probes. containerboot
listens there, and not at [::]: not every kernel has IPv6, nor every cluster IPv4."""


def _container(name: str, image: str, *capabilities: str, **more: object) -> dict[str, object]:
    return {
        "name": name,
        "image": image,
        "security_context": {
            "run_as_user": 0,
            "privileged": False,
            "allow_privilege_escalation": False,
            "read_only_root_filesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", *capabilities]},
        },
        **more,
    }


def tailscale(mesh: MeshIdentity, gateway: GatewaySettings) -> dict[str, object]:
    """tailscaled in kernel-TUN mode, exit node of the mesh.

    It joins once, and never heeds another server or user then. So each of these has a state of its own.
    """
    server = mesh.server
    whose = mesh.user.apply(lambda user: digest(f"{server.url} {user}"))
    environment: dict[str, pulumi.Input[str]] = {
        "TS_AUTHKEY": f"file:/run/meshgate/{PRE_AUTH_KEY}",
        "TS_AUTH_ONCE": "true",
        "TS_HOSTNAME": gateway.hostname,
        "TS_STATE_DIR": pulumi.Output.format("{0}/{1}", TAILSCALE_STATE, whose),
        "TS_SOCKET": PLACES.tailscale_socket,
        "TS_KUBE_SECRET": "",
        "TS_USERSPACE": "false",
        **gateway_programs.TAILSCALED_ENVIRONMENT,
        "TS_ENABLE_HEALTH_CHECK": "true",
        "TS_LOCAL_ADDR_PORT": f"$(POD_IP):{gateway_programs.TAILSCALE_HEALTH_PORT}",
        "TS_EXTRA_ARGS": " ".join(gateway_programs.tailscale_up_arguments(server.url)),
        "TS_TAILSCALED_EXTRA_ARGS": " ".join(gateway_programs.tailscaled_arguments(gateway)),
    }
    mounts = [
        {"name": "pre-auth-key", "mount_path": "/run/meshgate", "read_only": True},
        {"name": "state", "mount_path": TAILSCALE_STATE, "sub_path": "tailscale"},
        {"name": "tun", "mount_path": "/dev/net/tun"},
        {"name": "tailscale-run", "mount_path": TAILSCALE_MEETING},
        {"name": "tmp", "mount_path": "/tmp"},  # noqa: S108
    ]
    if server.ca_certificate:
        # Go reads files of SSL_CERT_FILE instead of the system's, directories of SSL_CERT_DIR as well.
        environment["SSL_CERT_DIR"] = f"/etc/ssl/certs:{CERTIFICATES}"
        mounts.append({"name": "certificates", "mount_path": CERTIFICATES, "read_only": True})
    health = {"http_get": {"path": "/healthz", "port": gateway_programs.TAILSCALE_HEALTH_PORT}}
    return _container(
        "tailscale",
        gateway.tailscale_image,
        # By POD_IPS containerboot knows an IPv6 address in TS_LOCAL_ADDR_PORT, which it puts into brackets.
        env=[POD_ADDRESS, _told_by_kubernetes("POD_IPS", "status.podIPs"), *_environment(environment)],
        ports=[{"name": "tailscale", "container_port": gateway.tailscale_port, "protocol": "UDP"}],
        readiness_probe=health | {"period_seconds": 1},
        resources=resources("tailscale"),
        volume_mounts=mounts,
    )


def wireguard(gateway: GatewaySettings) -> dict[str, object]:
    """Makes the WireGuard interface and holds it."""
    return _server(gateway, "wireguard", INTERFACE, gateway_programs.interface_environment(gateway, PLACES))


def previous_wireguard(gateway: GatewaySettings) -> dict[str, object]:
    """The same for the key before the present one."""
    environment = gateway_programs.previous_interface_environment(gateway, PLACES)
    return _server(gateway, "wireguard", INTERFACE, environment, name=PREVIOUS_SERVER)


def openvpn(gateway: GatewaySettings) -> dict[str, object]:
    """Runs OpenVPN; it never sees the issuing key."""
    return _server(
        gateway,
        "openvpn",
        "gateway.agent.protocols.openvpn.server_process",
        gateway_programs.openvpn_environment(gateway, PLACES),
    )


def ipsec(gateway: GatewaySettings) -> dict[str, object]:
    """Runs charon, which needs port 500; it never sees the issuing key."""
    return _server(
        gateway,
        "ipsec",
        "gateway.agent.protocols.ipsec.server_process",
        gateway_programs.ipsec_environment(gateway, PLACES),
        "NET_BIND_SERVICE",
    )


def agent(gateway: GatewaySettings, identity: GatewayIdentity) -> dict[str, object]:
    """Lets devices in, by the API."""
    probe = {"port": "probes"}
    in_mesh = identity.mesh is not None
    mesh = [{"name": "tailscale-run", "mount_path": TAILSCALE_MEETING, "read_only": True}] if in_mesh else []
    public_key, previous_key = (key.public_key if key else None for key in (identity.wireguard, identity.previous))
    environment = gateway_programs.agent_environment(
        gateway, public_key, PLACES, previous_public_key=previous_key, in_mesh=in_mesh
    )
    return _container(
        "agent",
        gateway.image,
        env=[*_environment(environment), NODE_ADDRESSES],
        ports=[
            {"name": "http", "container_port": gateway_programs.HTTP_PORT},
            {"name": gateway_programs.PROBE_PORT_NAME, "container_port": gateway_programs.PROBE_PORT},
        ],
        startup_probe={"http_get": probe | {"path": "/healthz"}, "period_seconds": 1, "failure_threshold": 60},
        liveness_probe={"http_get": probe | {"path": "/healthz"}, "period_seconds": 10},
        readiness_probe={
            "http_get": probe | {"path": "/readyz"},
            "period_seconds": 1,
            "timeout_seconds": 3,
            "failure_threshold": 3,
        },
        resources=resources("agent", gateway.capacity),
        volume_mounts=[
            # Whole directories: the kubelet brings no change into a subPath.
            {"name": "identity", "mount_path": IDENTITY, "read_only": True},
            {"name": "settings", "mount_path": SETTINGS, "read_only": True},
            {"name": "state", "mount_path": AGENT_STATE, "sub_path": "agent"},
            *({"name": way, "mount_path": place} for way, place in MEETINGS.items() if way in gateway.access),
            *mesh,
        ],
    )


def _server(
    gateway: GatewaySettings,
    way: str,
    module: str,
    environment: Mapping[str, str],
    *capabilities: str,
    name: str | None = None,
) -> dict[str, object]:
    """What a way's clients dial; the agent meets it in a directory. It has the way's name, or one of its own."""
    return _container(
        name or way,
        gateway.image,
        *capabilities,
        command=["python3", "-m", module],
        env=_environment(environment),
        ports=_client_ports(gateway, name or way),
        resources=resources(way, gateway.capacity),
        volume_mounts=[
            {"name": "tun", "mount_path": "/dev/net/tun"},
            {"name": way, "mount_path": MEETINGS[way]},
        ],
    )


def _client_ports(gateway: GatewaySettings, server: str) -> list[dict[str, object]]:
    return [
        {
            "name": port.name,
            "container_port": port.listened,
            "protocol": port.transport.upper(),
            **({"host_port": port.published} if gateway.exposure == "HostPort" else {}),
        }
        for port in gateway.client_ports
        if port.server == server
    ]


def _environment(values: Mapping[str, pulumi.Input[str]]) -> list[dict[str, pulumi.Input[str]]]:
    # The API server keeps no empty value: to say one would differ from what is kept for ever.
    return [{"name": name} if value == "" else {"name": name, "value": value} for name, value in values.items()]
