"""Bare-metal machines: how they are reached, and that what boots them is apart from the host's own."""

import os
import shlex
from pathlib import Path

import pytest

from console.errors import StepError
from lab.machines import disks, metal
from lab.machines.metal import Machine
from lab.network import topology


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(metal, "DIRECTORY", tmp_path)
    return Machine("edge", 20)


def test_its_addresses_on_the_lan_and_outside_follow_from_its_number(machine: Machine) -> None:
    assert (machine.ipv4, machine.ipv6) == ("10.213.0.20", "fd10:213::14")
    assert machine.outside == ("203.0.113.20", "2001:db8:113::14")


def test_machines_and_clients_never_share_an_address() -> None:
    assert not set(topology.MACHINES) & set(topology.CLIENTS)


def test_ansible_gets_its_own_key_and_checks_the_machines(machine: Machine, tmp_path: Path) -> None:
    variables = machine.inventory()
    assert variables["ansible_host"] == machine.ipv4
    assert variables["ansible_user"] == "root"
    assert variables["ansible_ssh_private_key_file"] == str(tmp_path / "edge" / "key")
    arguments = shlex.split(variables["ansible_ssh_common_args"])
    assert "StrictHostKeyChecking=yes" in arguments
    assert f"UserKnownHostsFile={tmp_path}/edge/known_hosts" in arguments
    assert arguments[:2] == ["-F", "none"]  # a user's own ssh settings have no say


def test_a_command_reaches_the_machine_word_by_word(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    # As the real one: the remote shell is given the last argument.
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", str(ssh.parent), prepend=os.pathsep)
    assert machine.ssh("printf", "%s|", "two words", "$HOME", "") == "two words|$HOME||"
    assert machine.ssh("cat", stdin="in") == "in"
    with pytest.raises(StepError, match="run false in the machine edge"):
        machine.ssh("false")


def test_a_disk_hides_secrets_and_nothing_else(tmp_path: Path) -> None:
    files = {"etc/hosts": "h", "etc/ssh/ssh_host_ed25519_key": "k", "root/.ssh/authorized_keys": "a"}
    disks.personalize(tmp_path, files)
    _, disk = disks.mounting(Path("/lower"), tmp_path)
    upper = tmp_path / "disk"
    assert {name: (upper / name).read_text() for name in files} == files
    modes = {name: (upper / name).stat().st_mode & 0o777 for name in ("root", *files)}
    assert modes == dict(zip(["root", *files], [0o700, 0o644, 0o600, 0o644], strict=True))
    assert disk.is_dir()
