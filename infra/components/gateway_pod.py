"""The gateway's pod: tailscaled, WireGuard's interface, OpenVPN, IPsec and the agent; volumes, secrets and sysctls.

Of WireGuard, OpenVPN and IPsec those are there that are offered. A plain gateway has no tailscaled. State is on the
volume. A pod without it would be a new node to Headscale, and its pre-auth key is used up (tailscale#1686).
`gateway_containers` has the containers.
"""

import pulumi

from infra import gateway_programs
from infra.components import gateway_containers as containers
from infra.components.gateway_containers import CA_CERTIFICATE
from infra.components.gateway_identity import GatewayIdentity
from infra.resources.token import digest
from infra.secret_contents import (
    ADMIN_TOKEN,
    ISSUING_CERTIFICATE,
    ISSUING_KEY,
    PRE_AUTH_KEY,
    PREVIOUS_PRIVATE_KEY,
    PRIVATE_KEY,
    TOKENS,
)
from infra.settings.gateway import GatewaySettings
from infra.settings.stack import StackSettings

SERVERS = {"wireguard": containers.wireguard, "openvpn": containers.openvpn, "ipsec": containers.ipsec}
"""The containers of the ways in, each with a volume of that name where it meets the agent."""


def annotations(identity: GatewayIdentity) -> dict[str, pulumi.Input[str]]:
    """What a running pod does not notice by itself: a change of these replaces it.

    Tokens and the agent's settings are not among them: the agent reads them again when they change.
    """
    noticed: dict[str, pulumi.Input[str]] = {}
    if identity.wireguard:
        noticed["meshgate/public-key"] = identity.wireguard.public_key
    if identity.previous:
        noticed["meshgate/previous-public-key"] = identity.previous.public_key
    if identity.mesh:
        # The digest of a random key tells nothing of it.
        noticed["meshgate/pre-auth-key"] = pulumi.Output.unsecret(identity.mesh.pre_auth_key.apply(digest))
        noticed["meshgate/ca-certificate"] = digest(identity.mesh.server.ca_certificate or "")
    if identity.issuer:
        noticed["meshgate/issuing-certificate"] = identity.issuer.chain.apply(digest)
    return noticed


def secrets(identity: GatewayIdentity) -> dict[str, pulumi.Input[str]]:
    """What the Secret holds."""
    own: dict[str, pulumi.Input[str]] = {TOKENS: identity.tokens, ADMIN_TOKEN: identity.admin_token}
    if identity.wireguard:
        own[PRIVATE_KEY] = identity.wireguard.private_key
    if identity.previous:
        own[PREVIOUS_PRIVATE_KEY] = identity.previous.private_key
    if identity.issuer:
        own |= {ISSUING_CERTIFICATE: identity.issuer.chain, ISSUING_KEY: identity.issuer.key}
    return own | ({PRE_AUTH_KEY: identity.mesh.pre_auth_key} if identity.mesh else {})


def config(settings: StackSettings, gateway: GatewaySettings, identity: GatewayIdentity) -> dict[str, str]:
    """What the ConfigMap holds: settings that the agent takes up while it runs, and Headscale's CA."""
    certificate = identity.mesh and identity.mesh.server.ca_certificate
    told = gateway_programs.agent_settings(gateway, settings.cluster)
    return told | ({CA_CERTIFICATE: certificate} if certificate else {})


def spec(gateway: GatewaySettings, name: str, identity: GatewayIdentity) -> dict[str, object]:
    """The PodSpec; `name` is that of the Secret, the ConfigMap and the volume claim."""
    private = (PRIVATE_KEY,) if identity.wireguard else ()
    previous = (PREVIOUS_PRIVATE_KEY,) if identity.previous else ()
    issuing = (ISSUING_CERTIFICATE, ISSUING_KEY) if identity.issuer else ()
    volumes: list[dict[str, object]] = [
        {"name": "identity", "secret": _secret(name, *private, *previous, TOKENS, *issuing)},
        {"name": "settings", "config_map": _config_map(name, *gateway_programs.agent_settings(gateway))},
        {"name": "state", "persistent_volume_claim": {"claim_name": name}},
        {"name": "tun", "host_path": {"path": "/dev/net/tun", "type": "CharDevice"}},
    ]
    running = []
    for way, server in SERVERS.items():
        if way in gateway.access:
            running.append(server(gateway))
            volumes.append({"name": way, "empty_dir": {"medium": "Memory"}})
    if identity.previous:
        running.append(containers.previous_wireguard(gateway))
    running.append(containers.agent(gateway, identity))
    if identity.mesh:
        running.insert(0, containers.tailscale(identity.mesh, gateway))
        volumes += [
            {"name": "pre-auth-key", "secret": _secret(name, PRE_AUTH_KEY)},
            {"name": "tailscale-run", "empty_dir": {}},
            {"name": "tmp", "empty_dir": {}},
        ]
    if identity.mesh and identity.mesh.server.ca_certificate:
        volumes.append({"name": "certificates", "config_map": _config_map(name, CA_CERTIFICATE)})
    return {
        "automount_service_account_token": False,
        "enable_service_links": False,
        "termination_grace_period_seconds": 10,
        "security_context": {"seccomp_profile": {"type": "RuntimeDefault"}, "sysctls": _sysctls(gateway)},
        "containers": running,
        "volumes": volumes,
    }


def _sysctls(gateway: GatewaySettings) -> list[dict[str, str]]:
    """A pod inherits IPv4 forwarding from its node, IPv6 forwarding it must ask for."""
    return [{"name": "net.ipv6.conf.all.forwarding", "value": "1"}] if gateway.ipv6 else []


def _secret(name: str, *keys: str) -> dict[str, object]:
    return {"secret_name": name, "default_mode": 0o400, "items": _items(*keys)}


def _config_map(name: str, *keys: str) -> dict[str, object]:
    return {"name": name, "items": _items(*keys)}


def _items(*keys: str) -> list[dict[str, str]]:
    return [{"key": key, "path": key} for key in keys]
