"""Services of packages, by Debian's own helpers: known to them, and neither started nor enabled; then or later."""

import os
import shutil
from pathlib import Path

import pytest

from console.errors import StepError
from console.run import run
from lab.tools import debian_packages

UNIT = "meshgate-test.service"
APART = f"""
mount -t tmpfs tmpfs /etc/systemd/system
mount -t tmpfs tmpfs /var/lib/systemd
printf '[Service]\\nExecStart=/bin/true\\n[Install]\\nWantedBy=multi-user.target\\n' > /etc/systemd/system/{UNIT}
"""
"""Nothing of what follows is seen outside."""

POSTINST = f"""
deb-systemd-helper unmask {UNIT} >/dev/null
if deb-systemd-helper --quiet was-enabled {UNIT}; then
    deb-systemd-helper enable {UNIT} >/dev/null
else
    deb-systemd-helper update-state {UNIT} >/dev/null
fi
"""
"""What debhelper writes for a package with a service."""

TELL = "ls /etc/systemd/system/*.wants 2>/dev/null || echo not enabled"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not (shutil.which("deb-systemd-helper") and shutil.which("systemctl")),
    reason="Debian's helpers and systemctl, as root",
)


def said(tmp_path: Path, *command: str) -> str:
    log = tmp_path / "log"
    of_dpkg = {"DPKG_MAINTSCRIPT_PACKAGE": "meshgate-test", "DPKG_MAINTSCRIPT_NAME": "postinst"}
    run(command, doing="play a package's installation", log=log, env=of_dpkg, contained=True)
    return log.read_text()


def test_without_us_a_new_service_is_enabled(tmp_path: Path) -> None:
    assert UNIT in said(tmp_path, "sh", "-ec", APART + POSTINST + TELL)


def test_a_new_service_is_not_enabled_and_stays_so_at_the_next_upgrade(tmp_path: Path) -> None:
    # The upgrade is the user's, so without the preset.
    upgrade = "umount /run/systemd/system-preset\n" + POSTINST
    assert said(tmp_path, *debian_packages.quietly("sh", "-ec", APART + POSTINST + TELL)) == "not enabled\n"
    assert said(tmp_path, *debian_packages.quietly("sh", "-ec", APART + POSTINST + upgrade + TELL)) == "not enabled\n"


def test_a_service_that_was_enabled_before_stays_enabled(tmp_path: Path) -> None:
    before = APART + POSTINST
    again = debian_packages.quietly("sh", "-ec", POSTINST + TELL)
    assert UNIT in said(tmp_path, "sh", "-ec", before + 'exec "$@"', "sh", *again)


def test_nothing_is_started(tmp_path: Path) -> None:
    start = f"deb-systemd-invoke start {UNIT}; invoke-rc.d meshgate-test start; echo $?"
    assert said(tmp_path, *debian_packages.quietly("sh", "-ec", APART + start)) == "0\n"


def test_of_the_machine_nothing_is_changed_however_it_ends(tmp_path: Path) -> None:
    def seen() -> list[bytes]:
        return [Path(file).read_bytes() for file in ("/usr/bin/deb-systemd-invoke", "/usr/sbin/invoke-rc.d")]

    before = seen()
    with pytest.raises(StepError, match="ended with status 9"):
        said(tmp_path, *debian_packages.quietly("sh", "-c", "exit 9"))
    assert seen() == before
    assert not list(Path("/run/systemd/system-preset").glob("*"))
    assert not Path("/usr/sbin/policy-rc.d").exists() or "meshgate" not in Path("/usr/sbin/policy-rc.d").read_text()
