"""For Windows 10 and 11: a PowerShell script that brings its own client the certificates and the connection."""

import base64
import secrets

from gateway.agent.protocols.ipsec.profiles.identity import NAME, Identity
from gateway.agent.settings import AgentSettings

_HEAD = """\
# Meshgate: run this as administrator.
$ErrorActionPreference = 'Stop'
function Import-Bytes([string]$base64, [scriptblock]$import) {{
    $file = New-TemporaryFile
    try {{
        [IO.File]::WriteAllBytes($file.FullName, [Convert]::FromBase64String($base64))
        & $import $file.FullName
    }} finally {{
        Remove-Item $file.FullName
    }}
}}
Import-Bytes '{ca}' {{
    Import-Certificate -FilePath $args[0] -CertStoreLocation Cert:\\LocalMachine\\Root | Out-Null
}}
"""
_KEY = """\
Import-Bytes '{bundle}' {{
    $password = ConvertTo-SecureString '{password}' -AsPlainText -Force
    Import-PfxCertificate -FilePath $args[0] -CertStoreLocation Cert:\\LocalMachine\\My -Password $password | Out-Null
}}
"""
_NO_KEY = "# The device's certificate and private key have to be in Cert:\\LocalMachine\\My already.\n"
# Without the second command Windows asks for a Diffie-Hellman group of 1024 bits, which no gateway takes.
_CONNECTION = """\
Add-VpnConnection -Name '{name}' -ServerAddress '{host}' -TunnelType Ikev2 -AuthenticationMethod MachineCertificate `
    -EncryptionLevel Required -Force
Set-VpnConnectionIPsecConfiguration -ConnectionName '{name}' -AuthenticationTransformConstants GCMAES256 `
    -CipherTransformConstants GCMAES256 -EncryptionMethod GCMAES256 -IntegrityCheckMethod SHA384 `
    -DHGroup ECP384 -PfsGroup ECP384 -Force
"""


def profile(identity: Identity, settings: AgentSettings) -> str:  # noqa: ARG001 - as of the others
    """The script; without a private key the machine has to have it already."""
    password = secrets.token_urlsafe(16)
    bundle = identity.pkcs12(password)
    key = _KEY.format(bundle=base64.b64encode(bundle).decode(), password=password) if bundle else _NO_KEY
    head = _HEAD.format(ca=base64.b64encode(identity.ca_der).decode())
    return head + key + _CONNECTION.format(name=NAME, host=identity.host)
