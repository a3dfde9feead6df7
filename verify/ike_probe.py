"""The first message of IKEv2 (IKE_SA_INIT, RFC 7296 1.2), which whoever speaks IKE answers, be it by a refusal."""

import os
import struct

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from verify import datagrams

PORT = 500
_VERSION, _SA_INIT, _FROM_INITIATOR = 0x20, 34, 0x08
_SA, _KE, _NONCE, _NO_MORE = 33, 34, 40, 0
_TRANSFORMS = (
    struct.pack(">BBHBBHHH", 3, 0, 12, 1, 0, 20, 0x800E, 256),  # AES-256-GCM with a 16-byte tag
    struct.pack(">BBHBBH", 3, 0, 8, 2, 0, 5),  # PRF HMAC-SHA2-256
    struct.pack(">BBHBBH", 0, 0, 8, 4, 0, 19),  # the group ECP-256
)


def is_answered(host: str, port: int = PORT) -> bool:
    """Whether somebody there speaks IKE; OSError if there is no way to it."""
    own = os.urandom(8)
    return datagrams.is_answered((host, port), lambda: first_message(own), lambda answer: answer.startswith(own))


def first_message(own: bytes) -> bytes:
    """With one proposal; `own` is the initiator's SPI, which comes back in the answer."""
    proposal = b"".join(_TRANSFORMS)
    proposal = struct.pack(">BBHBBBB", 0, 0, 8 + len(proposal), 1, 1, 0, len(_TRANSFORMS)) + proposal
    numbers = generate_private_key(SECP256R1()).public_key().public_numbers()
    public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    payloads = _payload(_KE, proposal) + _payload(_NONCE, struct.pack(">HH", 19, 0) + public)
    payloads += _payload(_NO_MORE, os.urandom(32))
    head = struct.pack(">8s8sBBBBII", own, bytes(8), _SA, _VERSION, _SA_INIT, _FROM_INITIATOR, 0, 28 + len(payloads))
    return head + payloads


def _payload(following: int, content: bytes) -> bytes:
    return struct.pack(">BBH", following, 0, 4 + len(content)) + content
