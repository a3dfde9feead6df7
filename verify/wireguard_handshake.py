"""The first message of a WireGuard handshake, and whether the answer to it is one.

As the whitepaper has it (https://www.wireguard.com/papers/wireguard.pdf, 5.4.2). A server answers it only if it has the
private key of that public key and knows the device, so an answer proves key, endpoint, path and peer.
"""

import hashlib
import hmac
import os
import struct
import time

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from infra import curve25519
from verify import datagrams

_CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
_IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
_INITIATION, _RESPONSE, _COOKIE = 1, 2, 3
_TAI64_OFFSET = 2**62 + 10


def is_answered(endpoint: tuple[str, int], private_key: str, server_public_key: str) -> bool:
    """Whether a server with that public key answers at the endpoint; OSError if there is no way to it.

    Keys are as `wg` writes them, the first is the device's own.
    """
    own = X25519PrivateKey.from_private_bytes(curve25519.parse_key(private_key))
    server = curve25519.parse_key(server_public_key)
    index = int.from_bytes(os.urandom(4), "little")
    return datagrams.is_answered(
        endpoint, lambda: initiation(own, server, index), lambda answer: _is_answer(answer, index)
    )


def initiation(own: X25519PrivateKey, server: bytes, index: int) -> bytes:
    """148 bytes for the server with this public key; `index` comes back in the answer."""
    server_key = X25519PublicKey.from_public_bytes(server)
    ephemeral = X25519PrivateKey.generate()
    ephemeral_public = ephemeral.public_key().public_bytes_raw()
    chain = _hash(_CONSTRUCTION)
    digest = _hash(_hash(chain + _IDENTIFIER) + server)
    chain, _ = _derived(chain, ephemeral_public)
    digest = _hash(digest + ephemeral_public)
    chain, key = _derived(chain, ephemeral.exchange(server_key))
    static = _sealed(key, own.public_key().public_bytes_raw(), digest)
    digest = _hash(digest + static)
    _, key = _derived(chain, own.exchange(server_key))
    timestamp = _sealed(key, _now(), digest)
    message = struct.pack("<II", _INITIATION, index) + ephemeral_public + static + timestamp
    mac = hashlib.blake2s(message, key=_hash(b"mac1----" + server), digest_size=16).digest()
    return message + mac + bytes(16)


def _is_answer(message: bytes, index: int) -> bool:
    """A response, or a busy server's cookie; both say whom they answer."""
    if len(message) < 12:
        return False
    kind, first, second = struct.unpack("<III", message[:12])
    return (kind, second) == (_RESPONSE, index) or (kind, first) == (_COOKIE, index)


def _hash(text: bytes) -> bytes:
    return hashlib.blake2s(text).digest()


def _derived(chain: bytes, text: bytes) -> tuple[bytes, bytes]:
    """HKDF (RFC 5869) with BLAKE2s, of two outputs."""
    secret = hmac.digest(chain, text, "blake2s")
    first = hmac.digest(secret, b"\x01", "blake2s")
    return first, hmac.digest(secret, first + b"\x02", "blake2s")


def _sealed(key: bytes, text: bytes, digest: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(12), text, digest)


def _now() -> bytes:
    """TAI64N."""
    moment = time.time_ns()
    return struct.pack(">QI", _TAI64_OFFSET + moment // 10**9, moment % 10**9)
