"""Gives back what the lab changed on this machine, as far as nobody else can depend on it by now."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from console.errors import StepError
from console.run import capture
from lab.machine_changes import ChangeKind, noted
from lab.processes import cgroups
from lab.tools import debian_packages

MODULES = Path("/sys/module")
INTERFACES = Path("/sys/class/net")


def give_back() -> list[str]:
    """Undo what can be undone; return a line for each thing that stays: why, and how to remove it."""
    return [*_controllers(), *_modules(), *_packages()]


def _controllers() -> Iterator[str]:
    """Control groups below the root may use them; the kernel refuses to take them from one that does."""
    for controller in noted(ChangeKind.CONTROLLERS):
        try:
            cgroups.take_back(controller)
        except OSError:
            yield (
                f"The cgroup controller {controller} stays handed down, as another group uses it by now: "
                f"echo -{controller} > {cgroups.MOUNT}/cgroup.subtree_control"
            )


def _modules() -> Iterator[str]:
    for module in noted(ChangeKind.MODULES):
        if not (MODULES / module).exists():
            continue
        # The kernel does not count bridges as users of br_netfilter, but their packets pass it.
        if not (bridges := sorted(path.parent.name for path in INTERFACES.glob("*/bridge"))):
            with suppress(StepError):
                capture(("modprobe", "--remove", module), doing=f"unload the kernel module {module}")
        if (MODULES / module).exists():
            users = f"{', '.join(bridges)} may use it by now" if bridges else "it is in use"
            yield f"The kernel module {module} stays loaded, as {users}: modprobe --remove {module}"


def _packages() -> Iterator[str]:
    present = debian_packages.installed()
    if left := [package for package in noted(ChangeKind.PACKAGES) if package in present]:
        yield f"Debian packages that the lab installed stay: apt-get purge {' '.join(left)}"
