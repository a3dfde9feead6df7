"""tls-crypt-v2: each device has a key that hides and guards its handshakes (OpenVPN's doc/tls-crypt-v2.txt).

Who has none gets no answer at all. No key is kept: the server's comes from the gateway's secret, a device's from the
server's and the device's id.
"""

import base64
import hashlib
import hmac
import struct
import textwrap

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SERVER_BYTES, CLIENT_BYTES = 128, 256
_OWN_METADATA = b"\x00"


def server_key(secret: bytes) -> bytes:
    """The server's key: 64 bytes to encrypt with, then 64 to authenticate with; of each the first 32 count."""
    return _derived(secret, SERVER_BYTES, b"meshgate openvpn tls-crypt-v2 server")


def client_key(server: bytes, device: str) -> bytes:
    """A device's key, and the same wrapped for the server, which learns it from the device's first packet."""
    key = _derived(server, CLIENT_BYTES, b"meshgate openvpn tls-crypt-v2 client " + device.encode())
    plain = key + _OWN_METADATA + device.encode()
    length = struct.pack(">H", hashlib.sha256().digest_size + len(plain) + 2)
    tag = hmac.digest(server[64:96], length + plain, "sha256")
    encryptor = Cipher(algorithms.AES256(server[:32]), modes.CTR(tag[:16])).encryptor()
    return key + tag + encryptor.update(plain) + encryptor.finalize() + length


def server_pem(key: bytes) -> str:
    """The server's key as OpenVPN reads it."""
    return _pem(key, "OpenVPN tls-crypt-v2 server key")


def client_pem(key: bytes) -> str:
    """A device's key as OpenVPN reads it."""
    return _pem(key, "OpenVPN tls-crypt-v2 client key")


def _derived(secret: bytes, length: int, what: bytes) -> bytes:
    return HKDF(SHA256(), length, salt=None, info=what).derive(secret)


def _pem(content: bytes, label: str) -> str:
    lines = "\n".join(textwrap.wrap(base64.b64encode(content).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"
