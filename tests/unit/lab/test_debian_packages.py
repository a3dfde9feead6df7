"""Debian packages: what is missing, and what is said where there is no apt."""

from pathlib import Path

import pytest

from console.errors import StepError
from lab.tools import debian_packages


def commands_on_path(directory: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Make PATH hold only these commands, each a shell script."""
    directory.mkdir()
    for name, body in scripts.items():
        command = directory / name.replace("_", "-")
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


def test_only_configured_packages_count_as_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = 'echo "runc installed"; echo "buildah half-configured"; echo "iptables config-files"'
    commands_on_path(tmp_path / "bin", monkeypatch, dpkg_query=answer)
    assert debian_packages.installed() == {"runc"}


def test_a_machine_that_has_them_all_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = "\n".join(f"echo {package} installed" for package in debian_packages.PACKAGES)
    touched = tmp_path / "touched"
    commands_on_path(tmp_path / "bin", monkeypatch, dpkg_query=everything, apt_get=f"echo > {touched}; exit 1")
    debian_packages.ensure()
    assert not touched.exists()


def test_without_apt_the_error_names_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands_on_path(tmp_path / "bin", monkeypatch)
    with pytest.raises(StepError, match=r"Debian 12 or later .* with .*containerd.*systemd-container\.$"):
        debian_packages.ensure()
