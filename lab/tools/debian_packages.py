"""The Debian packages that the lab runs on: finds which are missing and installs those.

The lab starts every program itself, so no package may leave a service running that was not
running before.
"""

import platform
import shutil
from pathlib import Path

from console.errors import StepError
from console.progress import step
from console.run import capture, run
from lab import paths

PACKAGES = (
    # the cluster
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "etcd-server",
    "iptables",
    "nginx-light",
    "runc",
    # networks, clients and the proof by packets
    "curl",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "kmod",
    "nftables",
    "procps",
    "tcpdump",
    "wireguard-tools",
    # images
    "buildah",
    "busybox-static",
    "ca-certificates",
    "debian-archive-keyring",
    "mmdebstrap",
    # bare-metal machines
    "openssh-client",
    "systemd-container",
)
"""Names are the same in Debian 12, Debian 13 and Ubuntu 24.04."""

_SYSTEMD = Path("/run/systemd/system")
"""A directory exactly when systemd is this machine's PID 1."""


def ensure() -> None:
    """Install the packages that are missing; a machine that has them all is left alone.

    Raises StepError where there is no apt to install them with, or when it fails.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        raise StepError(
            f"The lab installs its parts with Debian's apt, and this is {_distribution()}: "
            f"run it on Debian 12 or later (a virtual machine will do) with {', '.join(PACKAGES)}."
        )
    before = installed()
    absent = [package for package in PACKAGES if package not in before]
    if not absent:
        return
    with step(f"Install Debian packages: {', '.join(absent)}", expected_seconds=90) as current:
        for note, command in (
            ("finishing what an interrupted run left", ("dpkg", "--configure", "-a")),
            ("reading the package lists", ("apt-get", "update")),
            ("installing", ("apt-get", "install", "-y", "--no-install-recommends", *absent)),
        ):
            current.now(note)
            _apt(command)
        if _SYSTEMD.is_dir():
            _stop_services(installed() - before)
        current.now("")


def installed() -> set[str]:
    """Return the names of all packages that are installed and configured."""
    known = capture(
        ("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"),
        doing="list the installed packages",
    )
    return {line.removesuffix(" installed") for line in known.splitlines() if line.endswith(" installed")}


def _apt(command: tuple[str, ...]) -> None:
    """Run one command of the package manager, never asking a question.

    Without systemd, packages start their daemons as children of the installation: contained,
    those end with it. Another apt that is at work is waited for.
    """
    if command[0] == "apt-get":
        command = ("apt-get", "-o", "DPkg::Lock::Timeout=300", *command[1:])
    run(
        command,
        doing="install the lab's Debian packages",
        log=paths.LOGS / "packages.log",
        env={"DEBIAN_FRONTEND": "noninteractive"},
        contained=True,
    )


def _stop_services(packages: set[str]) -> None:
    """Stop the services of freshly installed packages, now and at the next boot."""
    files = capture(("dpkg-query", "--listfiles", *sorted(packages)), doing="list the installed files")
    units = {Path(file).name for file in files.splitlines() if "/systemd/system/" in file}
    services = sorted(unit for unit in units if unit.endswith(".service") and "@" not in unit)
    if services:
        capture(("systemctl", "disable", "--now", *services), doing="stop services that a package started")


def _distribution() -> str:
    """Return the name of this machine's distribution for a person."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()
