"""Debian packages: what counts as there, and what apt's own simulation says of a machine with Docker."""

import shutil
from pathlib import Path

import pytest

from console.errors import StepError
from console.run import run
from lab import machine_changes, paths
from lab.tools import debian_packages

PROGRAMS = [name for names in debian_packages.NEEDED.values() for name in names if not name.startswith("/")]
FILES = [name for names in debian_packages.NEEDED.values() for name in names if name.startswith("/")]


def script(directory: Path, name: str, body: str = "") -> Path:
    directory.mkdir(exist_ok=True)
    command = directory / name
    command.write_text(f"#!/bin/sh\n{body}\n")
    command.chmod(0o755)
    return command


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has every program the lab needs, and whose dpkg knows nothing."""
    needed = {
        package: tuple(name for name in names if not name.startswith("/"))
        for package, names in debian_packages.NEEDED.items()
    }
    for file in FILES:
        here = tmp_path / "files" / Path(file).name
        here.parent.mkdir(exist_ok=True)
        here.touch()
    needed["containernetworking-plugins"] = tuple(
        str(tmp_path / "files" / Path(name).name) for name in debian_packages.NEEDED["containernetworking-plugins"]
    )
    monkeypatch.setattr(debian_packages, "NEEDED", needed)
    monkeypatch.setattr(debian_packages, "SEARCH", str(tmp_path / "system"))
    monkeypatch.setattr(paths, "LOGS", tmp_path / "logs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    for name in PROGRAMS:
        script(tmp_path / "system", name)
    script(tmp_path / "bin", "dpkg-query")
    return tmp_path


def remove(machine: Path, *packages: str) -> None:
    for package in packages:
        for name in debian_packages.NEEDED[package]:
            (machine / "system" / name).unlink()


def test_a_machine_that_has_it_all_is_left_alone(machine: Path) -> None:
    script(machine / "bin", "apt-get", f"echo > {machine}/touched; exit 1")
    debian_packages.ensure()
    assert not (machine / "touched").exists()


def test_a_program_counts_by_whatever_package(machine: Path) -> None:
    """The machine's dpkg knows no package, and every program is there."""
    assert debian_packages.missing() == []
    remove(machine, "nginx", "etcd-server")
    assert debian_packages.missing() == ["etcd-server", "nginx"]


def test_a_file_counts_at_its_path(machine: Path) -> None:
    (machine / "files" / "portmap").unlink()
    assert debian_packages.missing() == ["containernetworking-plugins"]


def test_a_program_that_daemons_would_not_find_does_not_count(machine: Path) -> None:
    remove(machine, "etcd-server")
    script(machine / "bin", "etcd")
    assert debian_packages.missing() == ["etcd-server"]


def test_what_an_interrupted_run_has_not_set_up_is_missing(machine: Path) -> None:
    script(machine / "bin", "dpkg-query", "echo runc installed; echo buildah half-configured; echo curl config-files")
    assert debian_packages.missing() == ["buildah"]
    assert debian_packages.installed() == {"runc"}


def test_without_apt_the_error_names_what_to_install(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove(machine, "runc", "nftables")
    monkeypatch.setenv("PATH", str(machine / "nowhere"))
    with pytest.raises(StepError, match=r"Debian 12 or later .* with runc, nftables\.$"):
        debian_packages.ensure()


NO_PACKAGE = "Size: 1\nSHA256: " + "0" * 64
AVAILABLE = {
    "containerd": "Version: 1.6.20~ds1-1\nDepends: runc (>= 1.0.0~rc92)",
    "runc": "Version: 1.1.5+ds1-1",
    "nftables": "Version: 1.0.6-2\nDepends: libnftables1",
    "libnftables1": "Version: 1.0.6-2",
    "curl": "Version: 7.88.1-11",
    "buildah": "Version: 1.28.2-1\nDepends: runc",
    "iperf3": "Version: 3.12-1\nDepends: not-to-be-had",
}
DOCKER = {
    "docker-ce": "Version: 5:27.3.1-1\nDepends: containerd.io (>= 1.6.24)",
    # As Docker's own package has it.
    "containerd.io": "Version: 1.7.22-1\nProvides: containerd, runc\nConflicts: containerd, runc\nReplaces: containerd",
    "curl": "Version: 7.88.1-10",
}


@pytest.fixture
def docker(machine: Path) -> Path:
    """A machine's apt with Docker's packages installed and Debian's to be had; no network, nothing is installed."""
    real = shutil.which("apt-get", path="/usr/bin:/bin")
    if real is None:
        pytest.skip("apt's own simulation needs apt")
    world = machine / "apt"
    for directory in ("etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial", "repo"):
        (world / directory).mkdir(parents=True)
    (world / "status").write_text(
        "\n".join(
            f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nMaintainer: m\n{rest}\n"
            "Description: d\n"
            for name, rest in DOCKER.items()
        )
    )
    (world / "repo" / "Packages").write_text(
        "\n".join(
            f"Package: {name}\nArchitecture: amd64\nMaintainer: m\n{rest}\nFilename: ./{name}.deb\n{NO_PACKAGE}\n"
            "Description: d\n"
            for name, rest in AVAILABLE.items()
        )
    )
    (world / "etc" / "sources.list").write_text(f"deb [trusted=yes] file:{world}/repo ./\n")
    (world / "apt.conf").write_text(
        f'Dir::Etc "{world}/etc";\nDir::State "{world}/state";\nDir::State::status "{world}/status";\n'
        f'Dir::Cache "{world}/cache";\nAPT::Architecture "amd64";\nAPT::Architectures {{"amd64";}};\n'
        'APT::Sandbox::User "";\n#clear APT::Update;\n'
    )
    script(machine / "bin", "apt-get", f'echo "$@" >> {machine}/asked; APT_CONFIG={world}/apt.conf exec {real} "$@"')
    run((machine / "bin" / "apt-get", "update"), doing="read the lists", log=machine / "update.log")
    return machine


def test_beside_docker_debians_containerd_and_runc_are_not_asked_for(docker: Path) -> None:
    remove(docker, "nftables")
    assert debian_packages.missing() == ["nftables"]
    assert debian_packages.plan(["nftables"]) == ["libnftables1", "nftables"]


def test_what_would_remove_docker_is_refused_by_its_name(docker: Path) -> None:
    with pytest.raises(StepError) as caught:
        debian_packages.plan(["containerd", "nftables"])
    assert caught.value.sentence.startswith(
        "To install containerd, nftables apt would remove containerd.io, docker-ce, so nothing was changed:"
    )


def test_docker_provides_what_another_package_depends_on(docker: Path) -> None:
    assert debian_packages.plan(["buildah"]) == ["buildah"]


def test_what_is_installed_is_not_upgraded(docker: Path) -> None:
    assert debian_packages.plan(["curl", "nftables"]) == ["libnftables1", "nftables"]


def test_what_cannot_be_installed_is_told_with_apts_own_words(docker: Path) -> None:
    with pytest.raises(StepError, match=r"(?s)finds no way to install iperf3 beside.*not-to-be-had"):
        debian_packages.plan(["iperf3"])


def test_apt_is_never_allowed_to_remove(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated here, too: nothing is installed, whatever happens."""
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(debian_packages, "_dpkg", lambda *command: commands.append(command))
    remove(docker, "nftables", "curl")
    with pytest.raises(StepError, match="still not there: curl, nft"):
        debian_packages.ensure()
    installs = [command for command in commands if "install" in command]
    assert len(installs) == 1
    assert {"--no-remove", "--no-upgrade"} <= set(installs[0])
    assert all("--no-remove" in line for line in (docker / "asked").read_text().splitlines() if "install" in line)
    assert machine_changes.noted(machine_changes.ChangeKind.PACKAGES) == ["libnftables1", "nftables"]


def test_nothing_is_touched_when_apt_would_remove(docker: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[tuple[str, ...]] = []
    monkeypatch.setattr(debian_packages, "_dpkg", lambda *command: commands.append(command))
    remove(docker, "runc")
    with pytest.raises(StepError, match="would remove"):
        debian_packages.ensure()
    assert not any("install" in command for command in commands)
    assert machine_changes.noted(machine_changes.ChangeKind.PACKAGES) == []
