"""What other people's drop-ins do to our units and our switches, by the order in which systemd reads them."""

import re
from pathlib import Path

import pytest

from tests.unit.playbooks import modules

from ansible.module_utils import meshgate_drop_ins as drop_ins  # isort: skip
from playbooks.library import gateway_host  # isort: skip

AGENT = "meshgate-agent.service"
LXC = "[Service]\nProtectProc=default\nNoNewPrivileges=no\nLoadCredential=\nImportCredential=\n"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(drop_ins, "ROOT", tmp_path)
    return tmp_path


def write(root: Path, name: str, text: str) -> str:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return str(file)


# Of units


def test_a_containers_drop_in_takes_the_credentials(root: Path) -> None:
    assert drop_ins.taken_back(AGENT) == {}
    lxc = write(root, "run/systemd/system/service.d/zzz-lxc-service.conf", LXC)
    assert drop_ins.taken_back(AGENT) == {"LoadCredential": lxc}


@pytest.mark.parametrize("directory", ["meshgate-agent.service.d", "meshgate-.service.d", "service.d"])
def test_a_file_of_the_same_name_further_up_stands_for_it(root: Path, directory: str) -> None:
    write(root, "run/systemd/system/service.d/zzz-lxc-service.conf", LXC)
    mask = root / "etc/systemd/system" / directory / "zzz-lxc-service.conf"
    mask.parent.mkdir(parents=True)
    mask.symlink_to("/dev/null")
    assert drop_ins.taken_back(AGENT) == {}


def test_a_later_file_that_puts_it_back_repairs_it(root: Path) -> None:
    lxc = write(root, "run/systemd/system/service.d/zzz-lxc-service.conf", LXC)
    again = "[Service]\nLoadCredential=tokens:/etc/meshgate/tokens\n"
    write(root, f"etc/systemd/system/{AGENT}.d/50-too-early.conf", again)
    assert drop_ins.taken_back(AGENT) == {"LoadCredential": lxc}
    write(root, f"etc/systemd/system/{AGENT}.d/zzzz.conf", again)
    assert drop_ins.taken_back(AGENT) == {}


def test_what_a_unit_can_do_without_is_no_matter(root: Path) -> None:
    harmless = "[Unit]\nLoadCredential=\n[Service]\n# LoadCredential=\nTimeoutStopSec=\nEnvironment=A=b\n"
    write(root, "etc/systemd/system/service.d/10-x.conf", harmless)
    write(root, "etc/systemd/system/service.d/README", "[Service]\nLoadCredential=\n")
    write(root, "etc/systemd/system/other-.service.d/10-y.conf", "[Service]\nLoadCredential=\n")
    assert drop_ins.taken_back(AGENT) == {}
    alone = write(root, "usr/lib/systemd/system/service.d/20-z.conf", "[Service]\nPrivateNetwork = yes\n")
    assert drop_ins.taken_back(AGENT) == {"PrivateNetwork": alone}


def test_every_list_that_a_unit_of_ours_relies_on_is_looked_for() -> None:
    templates = [file.read_text() for file in modules.PLAYBOOKS.glob("roles/*/templates/*.service")]
    said = {name for text in templates for name in re.findall(r"^(\w+)=", text, re.MULTILINE)}
    assert said >= drop_ins.LISTS
    assert said - drop_ins.LISTS - drop_ins.SINGLE == {
        *("Description", "Documentation", "Wants", "After", "Conflicts", "StartLimitIntervalSec", "WantedBy"),
        *("Type", "ExecStopPost", "Restart", "RestartSec", "SyslogIdentifier", "KillMode", "SystemCallFilter"),
        *("RuntimeDirectoryMode", "RuntimeDirectoryPreserve", "StateDirectoryMode"),
        *("MountAPIVFS", "DevicePolicy", "PrivateDevices", "ProcSubset"),
    }


# Of the kernel's switches


SWITCH = "net/ipv4/ip_forward"


def later() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = drop_ins.later_assignments(gateway_host.SYSCTLS, gateway_host.FORWARDING_AT_BOOT)
    return found


@pytest.mark.parametrize("line", ["net.ipv4.ip_forward=0", "net/ipv4/ip_forward = 0 ", "-net.ipv4.ip_forward = 0"])
@pytest.mark.parametrize("place", ["etc", "run", "usr/local/lib", "usr/lib"])
def test_a_later_file_wins(root: Path, line: str, place: str) -> None:
    write(root, "etc/sysctl.d/60-meshgate.conf", "net/ipv4/ip_forward = 1\n")
    write(root, "usr/lib/sysctl.d/50-default.conf", "net.ipv4.ip_forward = 0\n")
    assert later() == {}
    cis = write(root, f"{place}/sysctl.d/99-cis.conf", f"; hardening\n{line}\n")
    assert later() == {SWITCH: {"file": cis, "value": "0"}}


def test_the_last_word_wins(root: Path) -> None:
    write(root, "usr/lib/sysctl.d/99-cis.conf", "net.ipv4.ip_forward = 0\n")
    last = write(root, "etc/sysctl.d/99-router.conf", "net.ipv4.ip_forward = 1\n")
    assert later() == {SWITCH: {"file": last, "value": "1"}}
    write(root, "etc/sysctl.d/99-cis.conf", "# nothing\n")
    (root / "etc/sysctl.d/99-router.conf").unlink()
    assert later() == {}, "a file in /etc stands for that of its name in /usr/lib"


def test_the_file_that_debian_links_to_is_named(root: Path) -> None:
    conf = write(root, "etc/sysctl.conf", "net.ipv4.conf.all.forwarding = 0\n")
    assert later() == {}, "systemd reads it by a link alone"
    (root / "etc/sysctl.d").mkdir()
    (root / "etc/sysctl.d/99-sysctl.conf").symlink_to("../sysctl.conf")
    assert later() == {"net/ipv4/conf/all/forwarding": {"file": conf, "value": "0"}}


def test_a_pattern_counts_for_what_no_file_names(root: Path) -> None:
    write(root, "etc/sysctl.d/10-own.conf", "net.ipv4.conf.default.forwarding = 1\n-net.ipv6.conf.all.forwarding\n")
    pattern = write(root, "etc/sysctl.d/90-all.conf", "net.*.conf.*.forwarding = 0\n")
    assert later() == {
        name: {"file": pattern, "value": "0"}
        for name in ("net/ipv4/conf/all/forwarding", "net/ipv6/conf/default/forwarding")
    }
