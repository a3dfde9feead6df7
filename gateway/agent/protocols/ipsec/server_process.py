"""Runs charon, strongSwan's IKE daemon, beside the agent and outliving it, so that sessions do too.

`python -m gateway.agent.protocols.ipsec.server_process` starts charon with its ports closed (`gate`): it knows no
device until the agent has loaded them. If it dies, it is started again at once. If it keeps dying at once, this process
ends too. ESP is the kernel's where it has that (`kernel_esp`), else charon's own (kernel-libipsec).
"""

import asyncio
import logging
import os
import sys
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.agent.command import CommandError
from gateway.agent.exit_status import exit_status
from gateway.agent.protocols import daemon
from gateway.agent.protocols.ipsec import gate, kernel_esp, socket
from gateway.agent.settings_loading import load
from gateway.agent.tasks import run_until_first_ends, stop_signal
from gateway.agent.value_types import InterfaceName, Listeners

log = logging.getLogger(__name__)

# charon listens at 500 and 4500: at another port it would take what comes from other ports than 500 for ESP.
# interfaces_ignore: else MOBIKE tells clients the gateway's addresses inside its tunnels, and they try those.
_CONFIGURATION = """\
charon-systemd {{
    load = random nonce openssl kdf pem pkcs1 pkcs8 x509 pubkey constraints {esp}kernel-netlink \
socket-default vici
    install_routes = {routes}
    interfaces_ignore = {ignored}
    block_threshold = 100
    ikesa_table_size = 1024
    ikesa_table_segments = 16
    plugins {{
        vici {{
            socket = unix://{socket}
        }}
    }}
    journal {{
        default = -1
    }}
    syslog {{
        daemon {{
            default = -1
        }}
        auth {{
            default = -1
        }}
    }}
    filelog {{
        stderr {{
            path = stderr
            default = 0
            ike_name = no
        }}
    }}
}}
"""


class ServerSettings(BaseSettings):
    """What this process needs to know."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_", frozen=True)

    ipsec_dir: Path
    interface: InterfaceName = "wg0"
    previous_interface: InterfaceName | None = None
    """WireGuard's second one, whether it is there or not: charon need not restart when it comes or goes."""
    mesh_interface: InterfaceName = "tailscale0"
    openvpn_listen: Listeners = ()


def configuration(settings: ServerSettings, *, by_kernel: bool) -> str:
    """What charon is told as it starts (strongswan.conf); with the kernel's ESP, routes are the agent's."""
    wireguard = filter(None, (settings.interface, settings.previous_interface))
    ignored = (*wireguard, settings.mesh_interface, *(one.interface for one in settings.openvpn_listen))
    return _CONFIGURATION.format(
        ignored=", ".join(ignored),
        socket=socket(settings.ipsec_dir),
        esp="" if by_kernel else "kernel-libipsec ",
        routes="no" if by_kernel else "yes",
    )


async def _life(file: Path, *, by_kernel: bool) -> bool:
    await gate.close()
    if by_kernel:
        await kernel_esp.renew()
    process = await asyncio.create_subprocess_exec("charon-systemd", env={**os.environ, "STRONGSWAN_CONF": str(file)})
    try:
        code = await process.wait()
        log.warning("charon has ended with code %d", code)
        return False
    finally:
        await daemon.end(process)


async def _main() -> None:
    settings = load(ServerSettings)
    stop = stop_signal()
    file = settings.ipsec_dir / "strongswan.conf"
    by_kernel = await kernel_esp.is_there()
    file.write_text(configuration(settings, by_kernel=by_kernel))
    charon = daemon.keep("charon", lambda: _life(file, by_kernel=by_kernel))
    try:
        await run_until_first_ends({"signal": stop.wait(), "charon": charon})
    finally:
        if by_kernel:
            await kernel_esp.remove()
        await gate.open_()


def main() -> int:
    """Run charon until SIGTERM: 0 then, 2 if the settings cannot be used, 1 if it does not live."""
    return exit_status(log, lambda: asyncio.run(_main()), daemon.DaemonError, CommandError, OSError)


if __name__ == "__main__":
    sys.exit(main())
