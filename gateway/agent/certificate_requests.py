"""What a device sends to get a certificate: a request in PEM (PKCS #10, RFC 2986), which proves that it has the key.

The gateway names the device itself: of the request it takes the key alone.
"""

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

CURVES = ("secp256r1", "secp384r1")
RSA_BITS = 2048
"""The least that OpenSSL takes at its own security level."""
LONGEST = 16_384
"""Characters: many times those of a request with the largest key."""


def read(text: str, name: str | None = None) -> bytes:
    """The key that a request is for, as SubjectPublicKeyInfo in DER; ValueError if it cannot be used.

    Its subject is empty, or the common name is the device's `name`.
    """
    try:
        request = x509.load_pem_x509_csr(text[:LONGEST].encode())
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature) as error:
        raise ValueError("not a certificate request in PEM (-----BEGIN CERTIFICATE REQUEST-----)") from error
    if not signed:
        raise ValueError("its signature is wrong: sign it with the key that the certificate is for")
    _check_key(key)
    _check_names(request, name)
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _check_key(key: object) -> None:
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS:
        return
    raise ValueError(f"its key is too weak or of another kind: use P-256, P-384, or RSA of at least {RSA_BITS} bits")


def _check_names(request: x509.CertificateSigningRequest, name: str | None) -> None:
    own = [] if name is None else [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])]
    if request.subject not in [x509.Name([]), *own]:
        raise ValueError("it asks for a name of its own choice: leave its subject empty, or give the device's name")
    if any(isinstance(extension.value, x509.SubjectAlternativeName) for extension in request.extensions):
        raise ValueError("it asks for alternative names, and a device has none: leave them out")
