"""The programs of the machine that the lab runs, and the Debian packages that bring those which are missing.

A program that is there counts, whichever package brought it: Docker's containerd.io has containerd and runc, and apt
would remove it for Debian's own. So apt is asked first what it would do, and may never remove anything. The lab
starts every program itself: no service of a new package is started or enabled, now or at the next boot.
"""

import platform
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from console import environment
from console.errors import StepError
from console.progress import step
from console.run import capture, run
from lab import machine_changes, paths

Needed = Mapping[str, Sequence[str]]

NEEDED: Needed = {
    # the cluster
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "containernetworking-plugins": tuple(
        f"/usr/lib/cni/{plugin}" for plugin in ("bridge", "host-local", "loopback", "portmap", "tuning")
    ),
    "etcd-server": ("etcd",),
    "iptables": ("iptables", "iptables-restore", "ip6tables"),
    "nginx": ("nginx",),
    "runc": ("runc",),
    # networks, clients and the proof by packets
    "conntrack": ("conntrack",),
    "curl": ("curl",),
    "iperf3": ("iperf3",),
    "iproute2": ("ip",),
    "iputils-ping": ("ping",),
    "kmod": ("modprobe",),
    "nftables": ("nft",),
    "procps": ("sysctl",),
    "wireguard-tools": ("wg",),
    # images
    "buildah": ("buildah",),
    "ca-certificates": ("/etc/ssl/certs/ca-certificates.crt",),
    "debian-archive-keyring": ("/usr/share/keyrings/debian-archive-keyring.gpg",),
    "mmdebstrap": ("mmdebstrap",),
    # bare-metal machines
    "openssh-client": ("ssh", "ssh-keygen"),
    "systemd-container": ("systemd-nspawn",),
}
"""Packages (of the same names in Debian 12, Debian 13 and Ubuntu 24.04), and what of each is needed.

A program is looked for where the lab's daemons find theirs, a file at its path.
"""

_STRONGSWAN_PLUGINS = "/usr/lib/ipsec/plugins/libstrongswan-"
ONLY_TESTS: Needed = {
    "charon-systemd": ("charon-systemd",),
    "faketime": ("faketime",),
    "jq": ("jq",),
    "libcharon-extra-plugins": (f"{_STRONGSWAN_PLUGINS}kernel-libipsec.so",),
    "libstrongswan-standard-plugins": (f"{_STRONGSWAN_PLUGINS}openssl.so",),
    "openvpn": ("openvpn",),
    "qemu-system-x86": ("qemu-system-x86_64",),
    "prometheus": ("prometheus", "promtool"),
    "strongswan-swanctl": ("swanctl",),
}
"""Packages that the lab runs without: the test that needs one brings it (`ensure_for_tests`)."""

SEARCH = environment.SYSTEM_PATH

_INSTALL = ("install", "-y", "--no-remove", "--no-upgrade", "--no-install-recommends")

_QUIETLY = """\
for starter in /usr/bin/deb-systemd-invoke /usr/sbin/invoke-rc.d; do
    [ ! -e "$starter" ] || mount --bind /bin/true "$starter"
done
mkdir -p /run/systemd/system-preset
mount -t tmpfs tmpfs /run/systemd/system-preset
echo "disable *" > /run/systemd/system-preset/00-meshgate-lab.preset
exec "$@"
"""
"""Lets a command see a machine on which packages start no service and, by systemd's own preset, enable none.

It is for mounts of its own: of the machine nothing is changed, also when the command is killed.
"""


def ensure(needed: Needed | None = None) -> None:
    """Install what is missing, of what the lab needs if nothing else is said; a machine that has it all is left alone.

    Raises StepError where there is no apt to install it with, when apt would remove something, or when it fails.
    """
    needed = NEEDED if needed is None else needed
    if not (absent := missing(needed)):
        return
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        raise StepError(
            f"The lab installs its parts with Debian's apt, and this is {_distribution()}: "
            f"run it on Debian 12 or later (a virtual machine will do) with {', '.join(absent)}."
        )
    with step(f"Install Debian packages: {', '.join(absent)}", expected_seconds=90) as current:
        current.now("finishing what an interrupted run left")
        _dpkg("dpkg", "--configure", "-a")
        current.now("reading the package lists")
        _dpkg(*_APT, "update")
        current.now("asking apt what it would do")
        machine_changes.note(machine_changes.ChangeKind.PACKAGES, plan(absent))
        current.now("installing")
        _dpkg(*_APT, *_INSTALL, *absent)
        current.now("")
    if absent := missing(needed):
        raise StepError(f"Installed, and still not there: {', '.join(_lacking(needed, absent))}.", _LOG)


def ensure_for_tests(*packages: str) -> None:
    """Install what is missing of these packages, which the lab runs without."""
    ensure({package: ONLY_TESTS[package] for package in packages})


_LOG = paths.LOGS / "packages.log"
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300")
"""Another apt that is at work is waited for."""


def missing(needed: Needed | None = None) -> list[str]:
    """Return the packages of which something that is needed is not there, or which are not set up yet."""
    needed = NEEDED if needed is None else needed
    half_done = _statuses("unpacked", "half-configured", "half-installed", "triggers-pending")
    return [package for package in needed if package in half_done or _lacking(needed, [package])]


def installed() -> set[str]:
    """Return the names of all packages that are installed and configured."""
    return _statuses("installed")


def plan(packages: Sequence[str]) -> list[str]:
    """Return which packages apt would newly install for these, by its own simulation.

    Raises StepError when it would have to remove one, or does not find a way.
    """
    log = paths.LOGS / "packages-plan.log"
    try:
        run((*_APT, "--simulate", *_INSTALL, *packages), doing="plan the lab's Debian packages", log=log)
    except StepError as error:
        if removed := _to_be_removed(log.read_text(errors="replace")):
            raise StepError(
                f"To install {', '.join(packages)} apt would remove {', '.join(removed)}, so nothing was changed: "
                "bring what the lab needs by packages that go together with those, or use a virtual machine.",
                log,
            ) from error
        raise StepError(
            f"apt finds no way to install {', '.join(packages)} beside what is installed, so nothing was changed: "
            "settle it with apt, or use a virtual machine.",
            log,
        ) from error
    return re.findall(r"^Inst (\S+) \(", log.read_text(errors="replace"), re.MULTILINE)


def quietly(*command: str) -> tuple[str, ...]:
    """Return the command with what keeps services of packages still in front; for `contained` runs."""
    return ("sh", "-ec", _QUIETLY, "sh", *command)


def _dpkg(*command: str) -> None:
    """Run one command of the package manager, never asking a question; whatever it starts ends with it."""
    run(
        quietly(*command),
        doing="install the lab's Debian packages",
        log=_LOG,
        base=environment.downloading(),
        env={"DEBIAN_FRONTEND": "noninteractive"},
        contained=True,
    )


def _to_be_removed(said: str) -> list[str]:
    """Return the packages that a simulation of apt lists as such."""
    listed = re.search(r"^The following packages will be REMOVED:\n((?: .*\n)+)", said, re.MULTILINE)
    return [name.rstrip("*") for name in listed[1].split()] if listed else []


def _lacking(needed: Needed, packages: Sequence[str]) -> list[str]:
    """Return what of these packages is needed and not there."""
    wanted = [name for package in packages for name in needed[package]]
    return [Path(name).name for name in wanted if not _there(name)]


def _there(name: str) -> bool:
    return Path(name).exists() if name.startswith("/") else shutil.which(name, path=SEARCH) is not None


def _statuses(*wanted: str) -> set[str]:
    """Return the names of the packages that dpkg has in one of these states."""
    if shutil.which("dpkg-query") is None:
        return set()
    known = capture(
        ("dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n"),
        doing="list the installed packages",
    )
    return {name for name, _, status in (line.partition(" ") for line in known.splitlines()) if status in wanted}


def _distribution() -> str:
    """Return the name of this machine's distribution for a person."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()
