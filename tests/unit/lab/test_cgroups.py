from pathlib import Path

import pytest

from lab import machine_changes
from lab.processes import cgroups


def test_control_groups_come_and_go_in_every_hierarchy(tmp_path: Path) -> None:
    for hierarchy in ("memory", "cpuset"):
        (tmp_path / hierarchy).mkdir()
    cgroups.create(mount=tmp_path)
    cgroups.create(mount=tmp_path)
    (tmp_path / "memory" / cgroups.NAME / "kubepods" / "pod1").mkdir(parents=True)
    assert (tmp_path / "cpuset" / cgroups.NAME).is_dir()
    cgroups.remove(mount=tmp_path)
    cgroups.remove(mount=tmp_path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "cpuset", tmp_path / "memory"]


def test_a_new_cpuset_gets_what_its_parent_has(tmp_path: Path) -> None:
    group = tmp_path / "cpuset" / cgroups.NAME
    group.mkdir(parents=True)
    for directory, processors in ((group.parent, "0-1\n"), (group, "\n")):
        (directory / "cpuset.cpus").write_text(processors)
        (directory / "cpuset.mems").write_text("0\n")
    cgroups.create(mount=tmp_path)
    assert (group / "cpuset.cpus").read_text() == "0-1\n"


def test_the_one_hierarchy_of_version_2_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "system.slice"))
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (tmp_path / "system.slice").mkdir()
    cgroups.create(mount=tmp_path)
    assert (tmp_path / cgroups.NAME).is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpuset"
    assert not (tmp_path / "system.slice" / cgroups.NAME).exists()
    assert machine_changes.noted(machine_changes.ChangeKind.CONTROLLERS) == ["cpuset"]
