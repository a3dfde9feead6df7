"""OpenVPN: certificates alone, one process per transport, and the agent as its allow-list.

The agent answers each client that connects or renews its keys, by the management interface. No CRL, script or pool.
"""

from pathlib import Path

TOLD = "told.conf"
"""The file, beside the sockets, by which the agent tells OpenVPN its credentials (`server_files`)."""


def socket(directory: Path, transport: str) -> Path:
    """Where a transport's process takes commands."""
    return directory / f"{transport}.sock"
