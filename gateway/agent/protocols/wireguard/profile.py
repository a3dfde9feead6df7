"""A device's profile: the file that wg-quick and the WireGuard apps read, but for the secrets that the device has."""

from collections.abc import Sequence

from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device


def profile(settings: AgentSettings, device: Device, addresses: Sequence[str]) -> str:
    """The file; comments say where the device puts its own private key, and its preshared key if it has one."""
    interface = {
        "Address": ", ".join(addresses),
        "DNS": ", ".join(map(str, settings.dns)),
        "MTU": settings.mtu,
    }
    peer: dict[str, object] = {
        "PublicKey": settings.public_key,
        "Endpoint": settings.endpoint,
        "AllowedIPs": ", ".join(map(str, settings.allowed_ips)),
        "PersistentKeepalive": settings.persistent_keepalive,
    }
    return "\n".join(
        (
            "[Interface]",
            "# PrivateKey = the device's own",
            *_lines(interface),
            "",
            "[Peer]",
            *(["# PresharedKey = the one that the device was registered with"] if device.preshared_key else []),
            *_lines(peer),
            "",
        )
    )


def _lines(values: dict[str, object]) -> list[str]:
    return [f"{name} = {value}" for name, value in values.items() if value]
