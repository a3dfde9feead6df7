"""Runs tools of the host, such as `ip`, for modules that look at it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any


def output(*command: str) -> str:
    """What a tool prints; nothing if it fails or is not there."""
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment)
    except OSError:
        return ""
    return done.stdout if done.returncode == 0 else ""


def listed(*command: str) -> list[dict[str, Any]]:
    """The JSON list that `ip` prints."""
    found: list[dict[str, Any]] = json.loads(output("ip", "-json", *command) or "[]")
    return found
