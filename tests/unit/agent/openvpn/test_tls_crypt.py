"""Keys of tls-crypt-v2 as the server reads them (OpenVPN's doc/tls-crypt-v2.txt)."""

import hmac
import struct

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.agent.protocols.openvpn import tls_crypt

SECRET = bytes(range(32))


def unwrapped(server: bytes, wrapped: bytes) -> bytes:
    """What the server takes out of a device's first packet; it must be authentic."""
    tag, body, length = wrapped[:32], wrapped[32:-2], wrapped[-2:]
    assert struct.unpack(">H", length) == (len(wrapped),)
    plain = Cipher(algorithms.AES256(server[:32]), modes.CTR(tag[:16])).decryptor().update(body)
    assert hmac.compare_digest(hmac.digest(server[64:96], length + plain, "sha256"), tag)
    return plain


def test_the_server_finds_a_devices_key_in_what_the_device_sends() -> None:
    server = tls_crypt.server_key(SECRET)
    key = tls_crypt.client_key(server, "a device")
    assert unwrapped(server, key[256:]) == key[:256] + b"\x00a device"


def test_each_secret_and_each_device_has_its_own_and_always_the_same() -> None:
    server, other = tls_crypt.server_key(SECRET), tls_crypt.server_key(SECRET[::-1])
    keys = [tls_crypt.client_key(one, device) for one in (server, other) for device in ("a", "b")]
    assert len({key[:256] for key in keys}) == 4
    assert tls_crypt.client_key(server, "a") == keys[0]
    assert SECRET not in server
    assert server not in keys[0]


def test_files_are_lines_of_base64() -> None:
    lines = tls_crypt.server_pem(bytes(128)).splitlines()
    assert lines[0] == "-----BEGIN OpenVPN tls-crypt-v2 server key-----"
    assert max(map(len, lines[1:-1])) == 64
