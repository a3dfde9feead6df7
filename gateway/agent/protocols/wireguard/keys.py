"""WireGuard keys as text: 32 bytes in standard base64, 44 characters, the last of them `=`."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator

_FIELD_PRIME = 2**255 - 19
# Points of low order make every shared secret zero, so no handshake can succeed (cr.yp.to/ecdh.html#validate).
_LOW_ORDER = {
    0,
    1,
    _FIELD_PRIME - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
}


def check_key(text: str) -> str:
    """The same text if it is a 32 byte key in standard base64; ValueError (which never repeats it) if not."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 32 or base64.b64encode(raw).decode() != text:
        raise ValueError("not a WireGuard key: it must be 32 bytes in base64 (44 characters ending in '=')")
    return text


def check_public_key(text: str) -> str:
    """The same text if it is a key with which a handshake is possible; ValueError if not."""
    point = int.from_bytes(base64.b64decode(check_key(text)), "little") & (2**255 - 1)
    if point % _FIELD_PRIME in _LOW_ORDER:
        raise ValueError("not a usable WireGuard public key: no handshake can succeed with it")
    return text


def check_preshared_key(text: str) -> str:
    """The same text if it is a key that adds to a handshake; ValueError (which never repeats it) if not."""
    if not any(base64.b64decode(check_key(text))):
        raise ValueError("all zeros is how WireGuard writes the absence of a preshared key: leave it out")
    return text


def key_from_path(segment: str) -> str:
    """A public key out of a URL path: base64 as it is, or with the URL-safe alphabet; ValueError if neither."""
    return check_public_key(segment.replace("-", "+").replace("_", "/"))


def new_key_pair() -> tuple[str, str]:
    """A new private key, and its public key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # 9 MiB, which few gateways need

    made = X25519PrivateKey.generate()
    halves = (made.private_bytes_raw(), made.public_key().public_bytes_raw())
    private_key, public_key = (base64.b64encode(half).decode() for half in halves)
    return private_key, public_key


PublicKey = Annotated[str, AfterValidator(check_public_key)]
PresharedKey = Annotated[str, AfterValidator(check_preshared_key)]
