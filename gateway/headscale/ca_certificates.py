"""Certificates of CAs as a user's PEM file has them, which may say more: what stands around them is passed over."""

import re
import ssl

_BLOCK = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def from_pem(text: str) -> str:
    """The text's certificates and nothing else; ValueError with a clause when it has none, or one cannot be read."""
    blocks = _BLOCK.findall(text)
    if not blocks:
        raise ValueError("it is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    for number, block in enumerate(blocks, 1):
        try:
            trusting(block)
        except (ssl.SSLError, TypeError):  # TypeError: it is not even ASCII
            raise ValueError(f"certificate {number} in it cannot be read; it may be cut or edited") from None
    return "".join(f"{block}\n" for block in blocks)


def trusting(certificates: str) -> ssl.SSLContext:
    """TLS that trusts these CAs alone."""
    return ssl.create_default_context(cadata=certificates)
