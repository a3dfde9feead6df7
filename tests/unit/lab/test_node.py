import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from lab import cgroups, node, paths
from lab.node import Part


def parse(text: str, tmp_path: Path) -> dict[str, object]:
    """What supervisord itself reads out of a configuration, by program."""
    file = tmp_path / "supervisord.conf"
    file.write_text(text)
    options = ServerOptions()
    options.realize(["--configuration", str(file)])
    return {group.name: group.process_configs[0] for group in options.process_group_configs}


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "LOGS", tmp_path)


@pytest.mark.filterwarnings("ignore:Supervisord is running as root")
def test_supervisord_reads_commands_and_environment_as_they_were_meant(tmp_path: Path) -> None:
    part = Part("odd", ["/bin/echo", "100%", "two words", "it's"], environment={"SHARE": "50%", "LIST": "a,b=c"})
    config = parse(node.render([part]), tmp_path)["odd"]

    assert shlex.split(config.command) == part.command  # type: ignore[attr-defined]
    environment = dict(config.environment)  # type: ignore[attr-defined]
    assert environment.pop("MESHGATE_LAB_FILES") == part.digest
    assert environment == part.environment
    assert not config.autostart  # type: ignore[attr-defined]


def test_a_changed_file_makes_a_changed_part() -> None:
    path = Path("/etc/thing.conf")
    assert Part("a", ["x"], {path: "1"}).digest != Part("a", ["x"], {path: "2"}).digest
    assert Part("a", ["x"], {path: "1"}).digest == Part("a", ["x"], {path: "1"}).digest


def test_control_groups_come_and_go_in_every_hierarchy(tmp_path: Path) -> None:
    for hierarchy in ("memory", "cpuset"):
        (tmp_path / hierarchy).mkdir()
    cgroups.create(tmp_path)
    cgroups.create(tmp_path)
    (tmp_path / "memory" / cgroups.NAME / "kubepods" / "pod1").mkdir(parents=True)
    assert (tmp_path / "cpuset" / cgroups.NAME).is_dir()
    cgroups.remove(tmp_path)
    cgroups.remove(tmp_path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "cpuset", tmp_path / "memory"]


def test_a_new_cpuset_gets_what_its_parent_has(tmp_path: Path) -> None:
    group = tmp_path / "cpuset" / cgroups.NAME
    group.mkdir(parents=True)
    for directory, processors in ((group.parent, "0-1\n"), (group, "\n")):
        (directory / "cpuset.cpus").write_text(processors)
        (directory / "cpuset.mems").write_text("0\n")
    cgroups.create(tmp_path)
    assert (group / "cpuset.cpus").read_text() == "0-1\n"


def test_the_one_hierarchy_of_version_2_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    (tmp_path / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (tmp_path / "system.slice").mkdir()
    cgroups.create(tmp_path)
    assert (tmp_path / cgroups.NAME).is_dir()
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpuset"
    assert not (tmp_path / "system.slice" / cgroups.NAME).exists()
