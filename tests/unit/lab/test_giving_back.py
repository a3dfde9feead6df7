"""What `down ALL=1` gives back of the machine, and what it says of the rest."""

from pathlib import Path

import pytest

from lab import giving_back, lifecycle, machine_changes, paths
from lab.images import buildah
from lab.machine_changes import ChangeKind
from lab.processes import cgroups
from lab.tools import debian_packages


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with cgroup version 2 and br_netfilter loaded, and a modprobe that unloads it."""
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "cgroup/cgroup.controllers").write_text("cpu memory")
    (tmp_path / "cgroup/cgroup.subtree_control").write_text("memory")
    (tmp_path / "modules/br_netfilter").mkdir(parents=True)
    modprobe = tmp_path / "bin" / "modprobe"
    modprobe.parent.mkdir()
    modprobe.write_text(f'#!/bin/sh\n[ "$1" = --remove ] && rmdir {tmp_path}/modules/"$2"\n')
    modprobe.chmod(0o755)
    monkeypatch.setenv("PATH", f"{modprobe.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(cgroups, "MOUNT", tmp_path / "cgroup")
    monkeypatch.setattr(giving_back, "MODULES", tmp_path / "modules")
    monkeypatch.setattr(giving_back, "INTERFACES", tmp_path / "interfaces")
    monkeypatch.setattr(debian_packages, "installed", lambda: {"etcd-server", "curl"})
    return tmp_path


def test_what_the_lab_did_not_change_is_left_alone(machine: Path) -> None:
    assert giving_back.give_back() == []
    assert (machine / "modules/br_netfilter").exists()
    assert (machine / "cgroup/cgroup.subtree_control").read_text() == "memory"


def test_a_module_and_a_controller_are_given_back(machine: Path) -> None:
    machine_changes.note(ChangeKind.MODULES, ["br_netfilter"])
    machine_changes.note(ChangeKind.CONTROLLERS, ["cpu"])
    assert giving_back.give_back() == []
    assert not (machine / "modules/br_netfilter").exists()
    assert (machine / "cgroup/cgroup.subtree_control").read_text() == "-cpu"


def test_a_module_that_a_bridge_may_use_stays_and_is_told(machine: Path) -> None:
    machine_changes.note(ChangeKind.MODULES, ["br_netfilter"])
    (machine / "interfaces/docker0/bridge").mkdir(parents=True)
    [line] = giving_back.give_back()
    assert line == (
        "The kernel module br_netfilter stays loaded, as docker0 may use it by now: modprobe --remove br_netfilter"
    )
    assert (machine / "modules/br_netfilter").exists()


def test_a_controller_that_is_in_use_stays_and_is_told(machine: Path) -> None:
    machine_changes.note(ChangeKind.CONTROLLERS, ["cpu"])
    (machine / "cgroup/cgroup.subtree_control").unlink()
    (machine / "cgroup/cgroup.subtree_control").mkdir()  # the kernel refuses, too
    [line] = giving_back.give_back()
    assert line.endswith(f"echo -cpu > {machine}/cgroup/cgroup.subtree_control")


def test_packages_stay_and_are_told_while_they_are_there(machine: Path) -> None:
    machine_changes.note(ChangeKind.PACKAGES, ["nginx", "etcd-server"])
    machine_changes.note(ChangeKind.PACKAGES, ["curl"])
    assert giving_back.give_back() == ["Debian packages that the lab installed stay: apt-get purge curl etcd-server"]


@pytest.mark.parametrize("caches", [False, True])
def test_down_tells_what_stays_once_the_record_of_it_goes(
    *, caches: bool, machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lifecycle, "_end", lambda: None)
    monkeypatch.setattr(buildah, "remove_traces", lambda: None)
    monkeypatch.setattr(paths, "STATE", machine / "state")
    (machine / "state").mkdir()
    machine_changes.note(ChangeKind.PACKAGES, ["curl"])
    lifecycle.down(caches=caches)
    assert not (machine / "state").exists()
    assert paths.cache().exists() != caches
    assert ("apt-get purge curl" in capsys.readouterr().err) == caches
