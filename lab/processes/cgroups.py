"""Control groups of the lab, each with all that is put below it, so that `down` can remove them."""

from pathlib import Path

from lab import machine_changes

MOUNT = Path("/sys/fs/cgroup")
NAME = "meshgate-lab"
"""The one below which the kubelet puts every pod."""

CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
"""What the kubelet wants to control in its group; in version 2 a parent has to hand it down."""


def create(name: str = NAME, mount: Path = MOUNT) -> None:
    """Make a group in every hierarchy (cgroup v1), or in the only one (v2)."""
    for hierarchy in _hierarchies(mount):
        _hand_down(hierarchy)
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        # A new cpuset has no processors and no memory until told: give it what its parent has.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (group / setting).exists() and not (group / setting).read_text().strip():
                (group / setting).write_text((hierarchy / setting).read_text())


def join(name: str, mount: Path = MOUNT) -> None:
    """Move this process into a group."""
    for hierarchy in _hierarchies(mount):
        # Not by its number, which is another one in a process namespace.
        (hierarchy / name / "cgroup.procs").write_text("0")


def remove(name: str = NAME, mount: Path = MOUNT) -> None:
    """Remove a group and all groups below it; their processes must have ended."""
    for hierarchy in _hierarchies(mount):
        group = hierarchy / name
        if group.is_dir():
            below = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
            for path in [*below, group]:
                path.rmdir()


def take_back(controller: str) -> None:
    """Let groups below the root of version 2 use a controller no more; OSError when one does."""
    if (MOUNT / "cgroup.controllers").exists():
        (MOUNT / "cgroup.subtree_control").write_text(f"-{controller}")


def to_hand_down(mount: Path) -> list[str]:
    """Return the controllers of version 2 that groups below the root cannot use yet."""
    if not (mount / "cgroup.controllers").exists():
        return []
    available = (mount / "cgroup.controllers").read_text().split()
    handed_down = (mount / "cgroup.subtree_control").read_text().split()
    return [one for one in CONTROLLERS if one in available and one not in handed_down]


def _hand_down(hierarchy: Path) -> None:
    """Let groups below the root of version 2 use the controllers, where they do not yet."""
    if lacking := to_hand_down(hierarchy):
        machine_changes.note(machine_changes.ChangeKind.CONTROLLERS, lacking)
    for controller in lacking:
        (hierarchy / "cgroup.subtree_control").write_text(f"+{controller}")


def _hierarchies(mount: Path) -> list[Path]:
    if (mount / "cgroup.controllers").exists():
        return [mount]
    return [path for path in mount.iterdir() if path.is_dir() and not path.is_symlink()]
