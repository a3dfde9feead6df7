"""Whether a certificate and a private key are a pair that a server of some host can use."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509


def problem(certificate: str, key: str, host: str) -> str | None:
    """Why not, without a word of the key itself. The first certificate is the server's; those of its CAs follow.

    When it ends is not judged: a stack whose certificate has ended must still be able to go.
    """
    # Here, so that a preview without such a pair does not wait for the import.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        first = x509.load_pem_x509_certificates(certificate.encode())[0]
    except ValueError:
        return "headscale.ingress.certificate is not a certificate in PEM form"
    try:
        private = load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError):  # a TypeError of one that is encrypted
        return "headscale_ingress_key is not a private key in PEM form without a passphrase"
    if first.public_key() != private.public_key():
        return (
            "headscale_ingress_key is not the key of headscale.ingress.certificate; give the two that belong together"
        )
    if host not in (names := _names(first)) and f"*.{host.partition('.')[2]}" not in names:
        told = ", ".join(names) or "no host"
        return f"headscale.ingress.certificate is for {told}, and headscale.url has {host}; give one for that"
    return None


def _names(certificate: "x509.Certificate") -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    hosts, addresses = names.get_values_for_type(x509.DNSName), names.get_values_for_type(x509.IPAddress)
    return [*map(str.lower, hosts), *map(str, addresses)]
