"""Ansible module: switches of the kernel (sysctl), set now and after every boot."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gateway_sysctl
short_description: Switches of the kernel, now and after every boot
description:
  - Writes a drop-in of sysctl.d and sets what the kernel has otherwise, in the given order. Other drop-ins are not
    applied anew.
author: Meshgate
options:
  path:
    description: The drop-in.
    type: path
    required: true
  values:
    description: Names with slashes, as below /proc/sys, and values.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Tells what would be written and set.
  diff_mode:
    support: full
    description: Shows the drop-in, and the switches that the kernel has otherwise.
"""

EXAMPLES = r"""
- name: Let the kernel forward
  gateway_sysctl:
    path: /etc/sysctl.d/60-meshgate.conf
    values:
      net/ipv4/ip_forward: 1
"""

SWITCHES = Path("/proc/sys")
HEADER = "# Of Meshgate's gateway: playbooks/remove.yml takes it away.\n"


def current(name: str) -> str:
    """What the kernel has; empty if it has no such switch."""
    try:
        return (SWITCHES / name).read_text().strip()
    except OSError:
        return ""


def replace(path: Path, text: str) -> None:
    """Write a file, all of it or nothing."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text)
    draft.chmod(0o644)
    os.sync()
    draft.rename(path)


def main() -> None:
    """Run as a module."""
    arguments = {"path": {"type": "path", "required": True}, "values": {"type": "dict", "required": True}}
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    path = Path(module.params["path"])
    values = {name: str(value) for name, value in module.params["values"].items()}
    before = path.read_text() if path.exists() else ""
    after = HEADER + "".join(f"{name} = {value}\n" for name, value in values.items())
    otherwise = {name: now for name, value in values.items() if (now := current(name)) != value}
    if not module.check_mode:
        if before != after:
            replace(path, after)
        for name in otherwise:
            (SWITCHES / name).write_text(values[name])
    module.exit_json(
        changed=before != after or bool(otherwise),
        diff={
            "before": before + "".join(f"(now {name} = {now})\n" for name, now in otherwise.items()),
            "after": after + "".join(f"(now {name} = {values[name]})\n" for name in otherwise),
        },
    )


if __name__ == "__main__":
    main()
