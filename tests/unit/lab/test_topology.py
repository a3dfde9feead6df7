"""The lab's network is taken down while the kernel, too, takes parts of it away."""

import os
from pathlib import Path

import pytest

from console.errors import StepError
from lab.network import topology

IP = """#!/bin/sh
case "$*" in
    *"netns list") echo '[]' ;;
    *"link show") test -e {interface} && echo '[{{"ifname": "{name}"}}]' || echo '[]' ;;
    *"link delete"*) {meanwhile} {interface}; echo 'Cannot find device "{name}"' >&2; exit 1 ;;
esac
"""


def make_ip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str) -> None:
    """Put a program `ip` first that shows one interface, and fails to delete it after a command on its file."""
    interface, program = tmp_path / "interface", tmp_path / "bin" / "ip"
    interface.touch()
    program.parent.mkdir()
    program.write_text(IP.format(interface=interface, name=topology.HOST_PORT, meanwhile=meanwhile))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def test_an_interface_that_goes_by_itself_while_it_is_deleted_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ip(tmp_path, monkeypatch, "rm")
    topology.down()


def test_an_interface_that_stays_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_ip(tmp_path, monkeypatch, "ls")
    with pytest.raises(StepError, match="Cannot find device"):
        topology.down()
