"""The systemd units of a gateway and of the host's own tailscaled: do they run, and which release do they use?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ansible.module_utils.meshgate_tailscale import seen
from ansible.module_utils.meshgate_tools import output

UNIT_FILES = Path("/etc/systemd/system")
OUTLIVING = ("wireguard", "wireguard-1", "openvpn", "ipsec")
"""Those of our units that a newer artifact need not restart."""
UNITS = tuple(f"meshgate-{name}.service" for name in (*OUTLIVING, "agent", "tailscale"))
KEYS_UNIT = "meshgate-keys.service"
VENDOR_UNIT = "tailscaled.service"
VENDOR_SOCKET, VENDOR_STATE = Path("/run/tailscale/tailscaled.sock"), Path("/var/lib/tailscale/tailscaled.state")


def units() -> dict[str, dict[str, bool]]:
    """Whether each unit is active, and whether it is to start at boot."""
    shown = output("systemctl", "show", "--property=Id,ActiveState,UnitFileState", *UNITS, VENDOR_UNIT)
    found = {}
    for block in shown.strip().split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        active, enabled = unit.get("ActiveState"), unit.get("UnitFileState")
        found[unit.get("Id", "")] = {
            "active": active in {"active", "reloading"},
            "enabled": enabled in {"enabled", "enabled-runtime"},
        }
    return {name: found.get(name, {"active": False, "enabled": False}) for name in (*UNITS, VENDOR_UNIT)}


def release_of(unit: str, root: Path) -> str:
    """The release that a unit uses, which may be older than the agent's."""
    try:
        text = (UNIT_FILES / unit).read_text()
    except OSError:
        return ""
    found = re.search(rf"^RootDirectory={root}/(\w+)$", text, re.MULTILINE)
    return found.group(1) if found else ""


def vendor_tailscale(unit: dict[str, bool]) -> dict[str, Any] | None:
    """The host's own tailscaled, as it runs or will run after the next boot; None if it is not to run."""
    if unit["active"]:
        return seen(VENDOR_SOCKET) or {"state": "", "joined": False, "url": ""}
    if not unit["enabled"]:
        return None
    try:
        state = json.loads(VENDOR_STATE.read_text())
    except (OSError, ValueError):
        state = {}
    return {"state": "off", "joined": bool(state.get("_current-profile")), "url": ""}
