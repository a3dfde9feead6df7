"""A CA's certificate as people have it: PEM, often with text around it, which is passed over (RFC 7468)."""

import base64
import re
import ssl

_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)


def pem(text: str) -> str:
    """The certificates in a text, and nothing else of it; ValueError when there is none, or a damaged one."""
    if "PRIVATE KEY-----" in text:
        raise ValueError("there is a private key in it, which others would read; give the certificate alone")
    bodies = _BLOCK.findall(text)
    if not bodies:
        raise ValueError("it is not a certificate in PEM form (-----BEGIN CERTIFICATE-----)")
    try:
        found = "".join(
            ssl.DER_cert_to_PEM_cert(base64.b64decode("".join(body.split()), validate=True)) for body in bodies
        )
        ssl.create_default_context(cadata=found)
    except (ValueError, ssl.SSLError) as error:
        raise ValueError("what is between its PEM marks is no certificate; copy the CA's file again, whole") from error
    return found


def trusting(text: str) -> ssl.SSLContext:
    """What trusts these certificates alone; ValueError as `pem`."""
    return ssl.create_default_context(cadata=pem(text))
