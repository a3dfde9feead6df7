"""What a machine must have: one sentence each, before anything is touched."""

import json
from pathlib import Path
from typing import Any

import pytest

from console.errors import StepError
from lab import preflight
from lab.processes import cgroups


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which the lab can live."""
    for scope in ("all", "default"):
        write(tmp_path / f"proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "0\n")
    write(tmp_path / "proc/net/if_inet6", "00000000000000000000000000000001 01 80 10 80 lo\n")
    write(tmp_path / "cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    write(tmp_path / "cgroup/cgroup.subtree_control", "memory pids\n")
    write(tmp_path / "cgroup/cgroup.procs", "1\n2\n")
    monkeypatch.setattr(preflight, "PROC", tmp_path / "proc")
    monkeypatch.setattr(cgroups, "MOUNT", tmp_path / "cgroup")
    ip(tmp_path, monkeypatch)
    return tmp_path


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def ip(directory: Path, monkeypatch: pytest.MonkeyPatch, **listed: list[dict[str, Any]]) -> None:
    """An `ip` that lists these: addresses, neighbours, routes."""
    said: dict[str, list[dict[str, Any]]] = {"address": [], "neighbour": [], "route": []} | listed
    for name, entries in said.items():
        write(directory / "said" / name, json.dumps(entries))
    program = directory / "bin" / "ip"
    # ip -json [-4|-6] OBJECT show …
    write(program, f'#!/bin/sh\nshift; case $1 in -6) echo "[]"; exit;; -4) shift;; esac\ncat {directory}/said/$1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory / 'bin'}:/usr/bin:/bin")


def obstacle() -> str:
    with pytest.raises(StepError) as caught:
        preflight.check()
    return caught.value.sentence


def test_a_machine_as_most_are_passes(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    routes = [
        {"dst": "default", "gateway": "192.168.1.1", "dev": "eth0"},
        {"dst": "192.168.1.0/24", "dev": "eth0"},
        {"dst": "10.0.0.0/8", "dev": "vpn0"},
        {"dst": "198.51.100.0/24", "dev": "eth1"},
    ]
    ip(machine, monkeypatch, route=routes)
    preflight.check()


def test_a_kernel_without_ipv6_is_told(machine: Path) -> None:
    (machine / "proc/net/if_inet6").unlink()
    assert obstacle().startswith("This kernel has no IPv6")


@pytest.mark.parametrize("scope", ["all", "default"])
def test_ipv6_that_is_switched_off_is_told_with_the_setting(scope: str, machine: Path) -> None:
    write(machine / f"proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "1\n")
    assert f"set net.ipv6.conf.{scope}.disable_ipv6=0" in obstacle()


def test_a_container_of_cgroup_version_2_with_processes_in_it_is_told(machine: Path) -> None:
    write(machine / "cgroup/cgroup.type", "domain\n")
    assert "a container's control group with processes of its own" in obstacle()


def test_one_that_has_nothing_to_hand_down_passes(machine: Path) -> None:
    write(machine / "cgroup/cgroup.type", "domain\n")
    write(machine / "cgroup/cgroup.subtree_control", "cpuset cpu memory pids\n")
    preflight.check()


def test_a_missing_controller_is_named(machine: Path) -> None:
    write(machine / "cgroup/cgroup.controllers", "cpu memory pids\n")
    assert obstacle().startswith("The kubelet needs the cgroup controllers cpuset, ")


def test_version_1_needs_nothing(machine: Path) -> None:
    (machine / "cgroup/cgroup.controllers").unlink()
    preflight.check()


@pytest.mark.parametrize(
    "listed",
    [
        {"address": [{"ifname": "eth0", "addr_info": [{"local": "10.213.0.7", "prefixlen": 16}]}]},
        {"address": [{"ifname": "eth0", "addr_info": [{"local": "fd10:213::7", "prefixlen": 64}]}]},
        {"neighbour": [{"dst": "10.213.0.1", "dev": "eth0"}]},
        {"route": [{"dst": "10.213.0.128/25", "dev": "eth0"}]},
        {"route": [{"dst": "10.213.0.0/16", "dev": "eth0"}]},
        {"route": [{"dst": "default", "gateway": "10.213.0.1", "dev": "eth0"}]},
    ],
    ids=str,
)
def test_the_labs_lan_in_use_is_told_with_where(
    listed: dict[str, Any], machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ip(machine, monkeypatch, **listed)
    assert "is in use on this machine (" in obstacle()
    assert "at eth0)" in obstacle()


def test_the_lab_itself_is_not_in_its_own_way(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ip(
        machine,
        monkeypatch,
        address=[{"ifname": "mg-host", "addr_info": [{"local": "10.213.0.254", "prefixlen": 24}]}],
        route=[{"dst": "10.213.0.0/24", "dev": "mg-host"}],
        neighbour=[{"dst": "10.213.0.1", "dev": "mg-host"}],
    )
    preflight.check()
