"""Asks tailscaled about itself on its socket (tailscale: ipn/localapi), for modules that run on a host."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

SOCKET = Path("/run/meshgate-tailscale/tailscaled.sock")
"""Of the gateway's own tailscaled."""


class LocalApi(http.client.HTTPConnection):
    """tailscaled's API."""

    def __init__(self, path: Path) -> None:
        super().__init__("local-tailscaled.sock", timeout=5)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket, whatever the host's name."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))

    def get(self, what: str) -> dict[str, Any]:
        """One answer; OSError if there is none."""
        try:
            self.request("GET", f"/localapi/v0/{what}")
            answer = json.loads(self.getresponse().read())
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"no answer on {self._path}") from error
        if not isinstance(answer, dict):
            raise OSError(f"no answer on {self._path}")
        return answer


def seen(path: Path) -> dict[str, Any] | None:
    """What a tailscaled says of itself; None if none answers."""
    api = LocalApi(path)
    try:
        status, preferences = api.get("status?peers=false"), api.get("prefs")
    except OSError:
        return None
    finally:
        api.close()
    own, state = status.get("Self") or {}, status.get("BackendState", "")
    return {
        "state": state,
        "joined": bool(status.get("HaveNodeKey")) and state not in {"NeedsLogin", "NoState"},
        "url": preferences.get("ControlURL", ""),
        "node_key": own.get("PublicKey", ""),
        "addresses": status.get("TailscaleIPs") or [],
        "online": bool(own.get("Online")),
        "preferences": preferences,
    }
