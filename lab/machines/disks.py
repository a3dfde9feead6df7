"""The disks of bare-metal machines: one Debian root file system below, what a machine writes above it."""

from collections.abc import Mapping
from pathlib import Path

from console.progress import step
from lab import paths
from lab.images import debian_root
from lab.tools import cache

PACKAGES = (
    # What the installer's smallest choice with an SSH server has, and Ansible needs.
    "dbus",
    "iproute2",
    "iputils-ping",
    "kmod",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "systemd-sysv",
)

_OPTIONS = (
    f"--include={','.join(PACKAGES)}",
    # Each machine has its own; without resolv.conf a name is not looked up anywhere.
    '--customize-hook=rm "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf',
    # What udev does on metal.
    '--customize-hook=echo "c! /dev/net/tun 0666 - - - 10:200" > "$1"/etc/tmpfiles.d/tun.conf',
)


def ensure() -> Path:
    """Return the root file system that every machine starts from, made first if need be; nobody writes to it.

    Raises StepError when it cannot be made.
    """
    return cache.keep(
        paths.cache() / "rootfs" / cache.fingerprint(debian_root.SUITE, *debian_root.OPTIONS, *_OPTIONS), _make
    )


def personalize(directory: Path, files: Mapping[str, str]) -> None:
    """Make a machine's disk in its directory, with these files (relative path: content)."""
    for layer in _layers(directory):
        layer.mkdir()
    upper, *_ = _layers(directory)
    (upper / "root").mkdir(mode=0o700)
    for name, content in files.items():
        file = upper / name
        file.parent.mkdir(parents=True, exist_ok=True)
        # sshd takes no host key that others can read; all else is public.
        file.touch(mode=0o600 if file.name.endswith("_key") else 0o644)
        file.write_text(content)


def mounting(root: Path, directory: Path) -> tuple[list[str], Path]:
    """Return the command that mounts a machine's disk, and where it will be."""
    upper, work, merged = _layers(directory)
    options = f"lowerdir={root},upperdir={upper},workdir={work}"
    return ["mount", "-t", "overlay", "-o", options, "overlay", str(merged)], merged


def _layers(directory: Path) -> tuple[Path, Path, Path]:
    return directory / "disk", directory / "work", directory / "root"


def _make(target: Path) -> None:
    with step("Make a Debian root file system for bare-metal machines", expected_seconds=35):
        debian_root.bootstrap(target, *_OPTIONS)
