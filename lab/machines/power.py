"""Boot a bare-metal machine, and again whenever it reboots; end when it shuts down.

Runs as process 1 of a sandbox, so that the machine's processes, mounts and network end with it.
"""

import os
import subprocess
import sys
from pathlib import Path

from lab.machines import disks
from lab.network import joining, topology
from lab.processes import cgroups

REBOOT = 133
"""How systemd-nspawn ends when the machine is to be booted again."""


def command(name: str, number: int, group: str, root: Path, directory: Path) -> list[str]:
    """Return the command that runs this in a machine's sandbox, with the arguments of `main`."""
    return [sys.executable, "-m", __name__, name, str(number), group, str(root), str(directory)]


def main(name: str, number: str, group: str, root: str, directory: str) -> int:
    """Run the machine in a control group, from its disk in `directory` over the file system `root`."""
    # nspawn makes the groups of the machine in its own.
    cgroups.join(group)
    mount, disk = disks.mounting(Path(root), Path(directory))
    subprocess.run(mount, check=True)
    status = REBOOT
    while status == REBOOT:
        # As on metal, a boot finds nothing of the network as it was left.
        joining.plug(int(number))
        status = subprocess.run(_nspawn(name, disk), env={**os.environ, **_ENVIRONMENT}, check=False).returncode
    return status


_ENVIRONMENT = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
"""Lets the machine write to /proc/sys/net, which is its own; the rest of /proc/sys is this host's."""


def _nspawn(name: str, disk: Path) -> list[str]:
    """Return the command that boots the machine once; what it prints is the machine's console."""
    return [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={disk}",
        f"--machine={name}",
        f"--network-namespace-path=/run/netns/{topology.METAL}",
        "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
        "--console=read-only",
        # Whatever this host has set up for containers is left out.
        *("--settings=no", "--register=no", "--keep-unit"),
        *("--link-journal=no", "--resolv-conf=off", "--timezone=off"),
    ]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
