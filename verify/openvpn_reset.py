"""The first message of OpenVPN by UDP, wrapped with a device's tls-crypt-v2 key, and whether the answer to it is one.

As in its doc/tls-crypt-v2.txt and its wire protocol (https://openvpn.github.io/openvpn-rfc/). A server answers only
if the key is one of its own devices'. It keeps nothing of the question: its answer is a cookie.
"""

import base64
import hmac
import os
import re
import struct
import time

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from verify import datagrams

_RESET_BY_CLIENT, _RESET_BY_SERVER = 10 << 3, 8 << 3
_COOKIES_ARE_KNOWN = 0x0F000001
"""As the number of the first packet: the client can do with a server that keeps nothing yet."""
_HEAD = struct.Struct(">B8sII")
"""Opcode, session, the packet's number, time; a tag of 32 bytes and what is encrypted follow."""
_TAG = 32


def is_answered(endpoint: tuple[str, int], profile: str) -> bool:
    """Whether the server that the profile (.ovpn) is of answers at the endpoint; OSError if there is no way to it."""
    key, session = client_key(profile), os.urandom(8)
    return datagrams.is_answered(
        endpoint, lambda: first_message(key, session), lambda answer: _is_answer(answer, key, session)
    )


def client_key(profile: str) -> bytes:
    """256 bytes that client and server share, and the same wrapped for the server."""
    block = re.search(r"-+BEGIN OpenVPN tls-crypt-v2 client key-+(.+?)-+END", profile, re.DOTALL)
    if block is None:
        raise ValueError("The profile has no tls-crypt-v2 key.")
    return base64.b64decode(block[1])


def first_message(key: bytes, session: bytes) -> bytes:
    """A reset for the server; `session` is 8 bytes, and comes back in the answer."""
    head = _HEAD.pack(_RESET_BY_CLIENT, session, _COOKIES_ARE_KNOWN, int(time.time()))
    nothing_to_acknowledge, number = b"\x00", bytes(4)
    content = nothing_to_acknowledge + number
    tag = hmac.digest(key[192:224], head + content, "sha256")
    return head + tag + _crypted(key[128:160], tag, content) + key[256:]


def _is_answer(message: bytes, key: bytes, session: bytes) -> bool:
    """A reset by who knows the key, which acknowledges ours."""
    head, tag, sealed = message[: _HEAD.size], message[_HEAD.size :][:_TAG], message[_HEAD.size + _TAG :]
    if not sealed or head[0] != _RESET_BY_SERVER:
        return False
    content = _crypted(key[:32], tag, sealed)
    return hmac.compare_digest(tag, hmac.digest(key[64:96], head + content, "sha256")) and session in content


def _crypted(key: bytes, tag: bytes, content: bytes) -> bytes:
    """Encrypted or decrypted, which is the same."""
    crypt = Cipher(algorithms.AES256(key), modes.CTR(tag[:16])).encryptor()
    return crypt.update(content) + crypt.finalize()
