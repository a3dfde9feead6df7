"""What the agent tells OpenVPN's server: its credentials and the MTU, in one file that it reads when it starts.

The process that holds the issuing key is not the one that strangers talk to. A certificate is renewed in time.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from gateway.agent import whole_file
from gateway.agent.certificates import Issuer
from gateway.agent.protocols.openvpn import TOLD, tls_crypt
from gateway.agent.settings import AgentSettings

log = logging.getLogger(__name__)

SERVER_NAME = "gateway"
"""The common name of the server's certificate, which clients check."""
LOOK_EVERY_S = 1.0


async def keep(settings: Callable[[], AgentSettings], issuer: Issuer) -> None:
    """Have the file there, as the settings are now and with time left, until cancelled."""
    trouble = None
    while True:
        now = settings()
        try:
            renew(issuer, now.openvpn_dir, now.mtu)
            trouble = None
        except OSError as error:
            if str(error) != trouble:
                log.warning("OpenVPN cannot be told its credentials in %s: %s", now.openvpn_dir, error.strerror)
            trouble = str(error)
        await asyncio.sleep(LOOK_EVERY_S)


def renew(issuer: Issuer, directory: Path, mtu: int) -> None:
    """Write the file unless there is a good one; OSError."""
    file = directory / TOLD
    wanted = _rest(issuer, mtu)
    if file.exists() and (text := file.read_text()).endswith(wanted):
        validity = issuer.issued(text.partition("<cert>\n")[2].partition("</cert>")[0], SERVER_NAME)
        if validity and not issuer.is_due(validity):
            return
    made = issuer.for_server(SERVER_NAME)
    whole_file.write(file, f"<cert>\n{made.chain}</cert>\n<key>\n{made.key}</key>\n{wanted}")
    log.info("OpenVPN's server gets a new certificate")


def _rest(issuer: Issuer, mtu: int) -> str:
    """What stays the same as long as issuer and settings do."""
    key = tls_crypt.server_pem(tls_crypt.server_key(issuer.secret))
    return f"tun-mtu {mtu}\n<ca>\n{issuer.ca}</ca>\n<tls-crypt-v2>\n{key}</tls-crypt-v2>\n"
