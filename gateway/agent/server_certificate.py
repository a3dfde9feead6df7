"""A server's certificate that outlives the agent: a server that is told of it again learns nothing new."""

from pathlib import Path

from gateway.agent import whole_file
from gateway.agent.certificates import Credentials, Issuer, Validity

KEY = "-----BEGIN PRIVATE KEY-----"


def kept(issuer: Issuer, directory: Path, name: str) -> tuple[Credentials, Validity]:
    """The certificate for a name, made if there is none that will do, and when it is good; OSError."""
    file = directory / "server.pem"
    chain, begin, key = (file.read_text() if file.exists() else "").partition(KEY)
    validity = issuer.issued(chain, name)
    if validity is None or issuer.is_due(validity):
        made = issuer.for_server(name)
        whole_file.write(file, made.chain + made.key)
        return kept(issuer, directory, name)
    return Credentials(chain, begin + key), validity
