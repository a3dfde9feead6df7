"""The client of etcd that the settings describe."""

import ssl

from gateway.agent.settings import AgentSettings
from gateway.agent.settings_loading import SettingsError
from gateway.agent.stores.etcd.client import Etcd


def etcd(settings: AgentSettings) -> Etcd:
    """etcd's members, with the CA that they are known by and the certificate that they ask for; SettingsError."""
    if all(endpoint.startswith("http:") for endpoint in settings.etcd_endpoints):
        return Etcd(settings.etcd_endpoints)
    ca, certificate, key = settings.etcd_ca_file, settings.etcd_certificate_file, settings.etcd_key_file
    try:
        tls = ssl.create_default_context(cafile=ca)
    except OSError as error:  # an SSLError is one, too
        raise SettingsError(f"MESHGATE_ETCD_CA_FILE: {ca} is no CA's certificate in PEM: {error.strerror}") from error
    try:
        if certificate:
            tls.load_cert_chain(certificate, key)
    except OSError as error:
        raise SettingsError(
            f"MESHGATE_ETCD_CERTIFICATE_FILE: {certificate} and {key} are not a certificate in PEM and its private "
            f"key: {error.strerror}"
        ) from error
    return Etcd(settings.etcd_endpoints, tls)
