"""A device's profile: the file that wg-quick and the WireGuard apps read, and the QR code that phones take it from."""

import io
from collections.abc import Sequence

from gateway.agent.settings import AgentSettings
from gateway.agent.store import Device


def profile(settings: AgentSettings, device: Device, addresses: Sequence[str], private_key: str | None = None) -> str:
    """The file. Without `private_key` comments say where the device puts that, and its preshared key if it has one."""
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
            f"PrivateKey = {private_key}" if private_key else "# PrivateKey = the device's own",
            *_lines(interface),
            "",
            "[Peer]",
            *_preshared(device.preshared_key, private_key),
            *_lines(peer),
            "",
        )
    )


def qr_code(text: str) -> str:
    """A text as a QR code, an SVG image of its own."""
    import segno  # few gateways are asked for one

    image = io.BytesIO()
    segno.make(text, micro=False).save(image, kind="svg", scale=4, light="#fff", xmldecl=False)
    return image.getvalue().decode()


def _preshared(key: str | None, private_key: str | None) -> list[str]:
    """It is told to a device whose private key was made just now, and that sent it with the same request."""
    if key is None:
        return []
    return [f"PresharedKey = {key}" if private_key else "# PresharedKey = the one that the device was registered with"]


def _lines(values: dict[str, object]) -> list[str]:
    return [f"{name} = {value}" for name, value in values.items() if value]
