"""Ansible module: the gateway's artifact, unpacked on a host."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gateway_release
short_description: The gateway's artifact, unpacked on a host
description:
  - Unpacks it beside the releases that are there, whole or not at all.
  - Says which release the units of WireGuard, OpenVPN and IPsec are to use. Each keeps the one that it has while its
    own programs are the same in the new one. A restart would interrupt tunnels.
author: Meshgate
options:
  root:
    description: Where releases are unpacked.
    type: path
    default: /opt/meshgate
  release:
    description: The release's name, of the module gateway_artifact.
    type: str
    required: true
  archive:
    description: The artifact on the host. It is removed once it is unpacked.
    type: path
    required: true
  unit_releases:
    description: The releases that C(wireguard), C(wireguard-1), C(openvpn) and C(ipsec) use now, as of gateway_host.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Takes an artifact that is not unpacked yet for one with the same programs of the units.
  diff_mode:
    support: full
    description: Shows the release.
"""

EXAMPLES = r"""
- name: Unpack the artifact
  gateway_release:
    release: 97afef5b31cc
    archive: /opt/meshgate/.artifact.tar.gz
  register: release
"""

RETURN = r"""
unit_releases: {description: The release for each of these units., returned: success, type: dict}
"""

SOCKETS = "/run/meshgate"
"""The two units' runtime directory. wireguard-go and wg meet there, for /var/run/wireguard is written into both. A bind
mount would not do: systemd 254 and later map a dynamic user's directories to it only where they are."""
_AGENT = "opt/meshgate/app/gateway/agent"
_SETTINGS = ("settings", "value_types")
_MODULES = {
    "wireguard": ("protocols/wireguard/interface_process", "protocols/wireguard/sockets", *_SETTINGS),
    "openvpn": ("protocols/openvpn/server_process", "protocols/daemon", "endpoints", *_SETTINGS),
    "ipsec": (
        "protocols/ipsec/server_process",
        "protocols/ipsec/gate",
        "protocols/ipsec/kernel_esp",
        "protocols/daemon",
        "endpoints",
        *_SETTINGS,
    ),
}
_PROGRAMS = {
    "wireguard": ("usr/local/bin/wireguard-go",),
    "openvpn": ("usr/sbin/openvpn",),
    "ipsec": ("usr/sbin/charon-systemd", "usr/lib/ipsec/libcharon.so.0.0.0"),
}
FILES = {unit: (*_PROGRAMS[unit], *(f"{_AGENT}/{name}.py" for name in _MODULES[unit])) for unit in _PROGRAMS}
FILES["wireguard-1"] = FILES["wireguard"]
"""What each unit runs. WireGuard has a second one while a key is rotated."""


def same(one: Path, other: Path, files: Sequence[str]) -> bool:
    """Whether two releases have the same programs for a unit."""
    _, different, missing = filecmp.cmpfiles(one, other, files, shallow=False)
    return not different and not missing


def unpack(module: AnsibleModule, archive: Path, target: Path) -> None:
    """Unpack an archive to a directory that is not there until it is complete."""
    draft = target.parent / f".{target.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o755)
    command = ["tar", "--extract", "--gzip", "--numeric-owner", f"--file={archive}", f"--directory={draft}"]
    module.run_command(command, check_rc=True)
    draft.chmod(0o755)
    run = draft / "var/run"
    run.unlink()
    run.symlink_to(SOCKETS)
    os.sync()  # a power cut must not leave a complete directory with empty files
    draft.rename(target)


def main() -> None:
    """Run as a module."""
    arguments = {
        "root": {"type": "path", "default": "/opt/meshgate"},
        "release": {"type": "str", "required": True},
        "archive": {"type": "path", "required": True},
        "unit_releases": {"type": "dict", "default": {}},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    root, release = Path(module.params["root"]), module.params["release"]
    archive = Path(module.params["archive"])
    if not re.fullmatch(r"[0-9a-f]{12}", release):
        module.fail_json(msg=f"release: {release!r} is not what gateway_artifact says: 12 hexadecimal digits.")
    target = root / release
    absent = not target.is_dir()
    if not module.check_mode:
        if absent:
            unpack(module, archive, target)
        archive.unlink(missing_ok=True)

    def kept(current: str, files: Sequence[str]) -> str:
        """A unit's release: the one that it uses, if its programs are the same there."""
        used = root / current
        keeps = bool(current) and used.is_dir() and (not target.is_dir() or same(used, target, files))
        return current if keeps else release

    module.exit_json(
        changed=absent,
        unit_releases={
            unit: kept(module.params["unit_releases"].get(unit, ""), files) for unit, files in FILES.items()
        },
        diff={"before": "", "after": f"{target}\n"} if absent else {},
    )


if __name__ == "__main__":
    main()
