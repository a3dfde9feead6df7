"""WireGuard's keys: Curve25519, written as standard base64 of 32 bytes (44 characters)."""

import base64
import binascii

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEY_BYTES = 32
_NODE_KEY_PREFIX = "nodekey:"


def generate_private_key() -> str:
    """A new private key in `wg`'s text form."""
    return base64.b64encode(X25519PrivateKey.generate().private_bytes_raw()).decode()


def public_key(private_key: str) -> str:
    """The public key of a private one; raises ValueError when that is no key. The error holds no part of it."""
    private = X25519PrivateKey.from_private_bytes(parse_key(private_key, "the private key"))
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def parse_key(text: str, what: str = "the key") -> bytes:
    """The 32 bytes of a key, private or public; raises ValueError that says `what` is no key, without showing it."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    # The text must be the one form that `wg` prints: it names the peer everywhere.
    if len(key) != KEY_BYTES or base64.b64encode(key).decode() != text:
        raise ValueError(f"{what} is not a WireGuard key: 44 characters of base64 that stand for 32 bytes")
    return key


def is_key(text: str) -> bool:
    """Whether the text has the form of a key; a private and a public key look alike."""
    try:
        parse_key(text)
    except ValueError:
        return False
    return True


def node_key_to_wireguard(node_key: str) -> str:
    """WireGuard's form of a mesh node's key, `nodekey:` and 64 hexadecimal digits; ValueError when it is none.

    Only mesh peers can use it: tailscaled answers nobody else. It is never a gateway's public key.
    """
    digits = node_key.removeprefix(_NODE_KEY_PREFIX)
    try:
        key = bytes.fromhex(digits) if digits != node_key else b""
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(f"{node_key!r} is not a node key: {_NODE_KEY_PREFIX} and 64 hexadecimal digits")
    return base64.b64encode(key).decode()
