"""A device's profile: one file (.ovpn) with all that a stock OpenVPN client needs."""

from collections.abc import Iterable

from gateway.agent.certificates import Issuer
from gateway.agent.endpoints import TransportEndpoint
from gateway.agent.protocols.openvpn import tls_crypt
from gateway.agent.protocols.openvpn.server_files import SERVER_NAME
from gateway.agent.settings import AgentSettings

_LINES = """\
client
dev tun
nobind
persist-key
persist-tun
{remotes}
remote-cert-tls server
verify-x509-name {name} name
tls-version-min 1.3
data-ciphers AES-256-GCM:CHACHA20-POLY1305
auth-retry nointeract
explicit-exit-notify 1
tun-mtu {mtu}
verb 3
"""
# auth-retry: a client that is refused, as after a long time without agent, tries again and does not end. The price is
# that it pauses for 10 s, not for one, before it tries again for whatever reason.


def profile(settings: AgentSettings, issuer: Issuer, device: str, certificate: str, private_key: str | None) -> str:
    """The file of the device with this id; without `private_key` it says where the device puts its own."""
    key = tls_crypt.client_key(tls_crypt.server_key(issuer.secret), device)
    lines = _LINES.format(remotes=_remotes(settings.openvpn_endpoints), name=SERVER_NAME, mtu=settings.mtu)
    blocks = {
        "ca": issuer.ca,
        "cert": certificate,
        "key": private_key,
        "tls-crypt-v2": tls_crypt.client_pem(key),
    }
    missing = "" if private_key else "# Put the device's private key here, between <key> and </key>.\n"
    return lines + missing + "".join(f"<{name}>\n{text}</{name}>\n" for name, text in blocks.items() if text)


def _remotes(endpoints: Iterable[TransportEndpoint]) -> str:
    """UDP first; a client that gets no answer goes on to the next after five seconds."""
    inorder = sorted(endpoints, key=lambda one: one.transport, reverse=True)
    remotes = [f"remote {one.host} {one.port} {one.transport}" for one in inorder]
    return "\n".join([*remotes, *(["server-poll-timeout 5"] if len(remotes) > 1 else [])])
