"""Makes the WireGuard interface and holds it, in a process of its own, so that tunnels outlive the agent.

`python -m gateway.agent.protocols.wireguard.interface_process` takes the kernel's WireGuard where there is one, else
wireguard-go. The agent configures what is made here. If wireguard-go dies, it is started again at once, for a
container's restart would take seconds. If it keeps dying at once, this process ends too.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.agent.exit_status import exit_status
from gateway.agent.protocols.wireguard import sockets
from gateway.agent.settings_loading import load
from gateway.agent.value_types import InterfaceName

log = logging.getLogger(__name__)

SHORT_LIFE_S = 1.0
SHORT_LIVES = 3
"""wireguard-go that lived shorter so many times in a row will not live."""
ENDING = (signal.SIGTERM, signal.SIGINT)


class InterfaceSettings(BaseSettings):
    """What this process needs to know."""

    model_config = SettingsConfigDict(env_prefix="MESHGATE_", frozen=True)

    interface: InterfaceName = "wg0"
    wireguard: Literal["auto", "kernel", "userspace"] = "auto"
    """The kernel's WireGuard, wireguard-go, or the kernel's if it has one."""


class InterfaceError(Exception):
    """The interface cannot be made; the text says why and what would help."""


def make_kernel_interface(name: str) -> bool:
    """Make a kernel WireGuard interface, or find the one a killed predecessor left; False if the kernel has none."""
    kind = _kind(name)
    if kind == "wireguard":
        return True  # its tunnels go on
    if kind is not None:
        _ip("link", "delete", "dev", name)  # left by a killed predecessor, without a process behind it
    made = _ip("link", "add", "dev", name, "type", "wireguard")
    if made.returncode:
        log.info("no WireGuard in this kernel (%s)", made.stderr.strip())
    return made.returncode == 0


def hold_kernel_interface(name: str) -> None:
    """Wait for the end, then take the interface away."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    signal.sigwait(ENDING)
    _ip("link", "delete", "dev", name)


def hold_userspace_interface(name: str) -> None:
    """Run wireguard-go until the end; InterfaceError if it does not live."""
    if not Path("/dev/net/tun").is_char_device():
        raise InterfaceError("/dev/net/tun is not there: mount it from the host, wireguard-go needs it")
    process: subprocess.Popen[bytes] | None = None
    ended = False

    def end(_: int, __: FrameType | None) -> None:
        nonlocal ended
        ended = True
        if process is not None:
            process.terminate()

    for ending in ENDING:
        signal.signal(ending, end)
    short_lives = 0
    while not ended and short_lives < SHORT_LIVES:
        # A dead process's socket must be gone first: wg would meet it, and remove its successor's in its place.
        sockets.path(name).unlink(missing_ok=True)
        started = time.monotonic()
        try:
            process = subprocess.Popen(["wireguard-go", name], env={**os.environ, "WG_PROCESS_FOREGROUND": "1"})
        except FileNotFoundError as error:
            raise InterfaceError("wireguard-go is not installed") from error
        if ended:  # the signal came between
            process.terminate()
        code = process.wait()
        if not ended:
            log.warning("wireguard-go has ended with code %d", code)
            short_lives = short_lives + 1 if time.monotonic() - started < SHORT_LIFE_S else 0
    if not ended:
        raise InterfaceError(f"wireguard-go cannot hold the interface {name}: its own words are above")


def _kind(name: str) -> str | None:
    shown = _ip("-json", "-details", "link", "show", "dev", name)
    if shown.returncode:
        return None
    (link,) = json.loads(shown.stdout)
    return str(link.get("linkinfo", {}).get("info_kind", "unknown"))


def _ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=10)


def _hold() -> None:
    settings = load(InterfaceSettings)
    if settings.wireguard != "userspace" and make_kernel_interface(settings.interface):
        hold_kernel_interface(settings.interface)
    elif settings.wireguard != "kernel":
        hold_userspace_interface(settings.interface)
    else:
        raise InterfaceError("MESHGATE_WIREGUARD is kernel, but this kernel has no WireGuard: load its module")


def main() -> int:
    """Hold the interface until SIGTERM: 0 then, 2 if the settings cannot be used, 1 if it cannot be made."""
    return exit_status(log, _hold, InterfaceError)


if __name__ == "__main__":
    sys.exit(main())
