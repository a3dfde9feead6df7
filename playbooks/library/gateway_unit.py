"""Ansible module: a systemd unit that runs what is on the disk."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gateway_unit
short_description: A systemd unit that runs what is on the disk
description:
  - Enables and starts a unit. Restarts it if its process is older than its unit file, its program, or a file that it
    reads when it starts.
  - That is seen from the host's own state. So a play that was killed before the restart makes up for it when it is run
    again. A handler would not.
author: Meshgate
options:
  name:
    description: The unit, whose file is in /etc/systemd/system.
    type: str
    required: true
  pending:
    description: Whether this play has written such a file. In check mode there is nothing else to tell it by.
    type: bool
    default: false
  state:
    description: V(absent) ends the unit and removes it.
    type: str
    choices: [current, absent]
    default: current
attributes:
  check_mode:
    support: full
    description: Tells whether the unit would be started or restarted.
  diff_mode:
    support: full
    description: Says why.
"""

EXAMPLES = r"""
- name: Run the agent
  gateway_unit:
    name: meshgate-agent.service
    pending: "{{ settings is changed }}"
"""

RETURN = r"""
reasons: {description: Why something was done., returned: success, type: list, elements: str}
"""

DIRECTORY = Path("/etc/systemd/system")
PROPERTIES = ("ActiveState", "UnitFileState", "MainPID", "NeedDaemonReload", "ExecMainStartTimestampMonotonic")


def shown(module: AnsibleModule, name: str) -> dict[str, str]:
    """What systemd says of the unit."""
    command = ["systemctl", "show", *(f"--property={name}" for name in PROPERTIES), name]
    return dict(line.split("=", 1) for line in module.run_command(command, check_rc=True)[1].splitlines())


def files(unit_file: Path) -> list[Path]:
    """What the unit reads when it starts, as its file says: `systemctl show` does not print credentials."""
    read = re.findall(r"^(?:EnvironmentFile=-?|LoadCredential=[^:\n]+:)(/\S+)$", unit_file.read_text(), re.MULTILINE)
    return [unit_file, *map(Path, read)]


def age(path: Path) -> float:
    """Seconds since a file was written; for ever if it is not there."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def program_replaced(pid: str) -> bool:
    """Whether the file that a process was started from is gone or another one."""
    try:
        return str(Path("/proc", pid, "exe").readlink()).endswith(" (deleted)")
    except OSError:
        return False


def reasons(unit: dict[str, str], file: Path) -> list[str]:
    """Why the unit's process has to begin anew; none if it may go on."""
    if unit["ActiveState"] != "active":
        return ["it does not run"]
    started = int(unit["ExecMainStartTimestampMonotonic"]) / 1e6
    lived = time.clock_gettime(time.CLOCK_MONOTONIC) - started
    found = [f"{path} is newer than its process" for path in files(file) if age(path) < lived]
    if program_replaced(unit["MainPID"]):
        found.append("its program is newer than its process")
    return found


def make_current(module: AnsibleModule, name: str, file: Path) -> list[str]:
    """Let the unit run what is on the disk; why something was done."""
    if module.check_mode and not file.exists():
        return ["there is no such unit yet"]
    if not module.check_mode and shown(module, name)["NeedDaemonReload"] == "yes":
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)
    unit = shown(module, name)
    found = reasons(unit, file)
    if module.params["pending"] and module.check_mode and not found:
        found.append("its files change")
    if found and not module.check_mode:
        command(module, "restart", name)
    if unit["UnitFileState"] != "enabled":
        found.append("it is not enabled")
        if not module.check_mode:
            command(module, "enable", name)
    return found


def command(module: AnsibleModule, verb: str, name: str) -> None:
    """Have systemd do something with the unit; if it cannot, the unit's own last words say why."""
    status, _, complaint = module.run_command(["systemctl", verb, name])
    if status != 0:
        journal = module.run_command(["journalctl", "--unit", name, "--lines=5", "--no-pager", "--output=cat"])[1]
        said = " | ".join(map(sentence, journal.strip().splitlines()))
        module.fail_json(msg=f"systemctl {verb} {name} failed: {complaint.strip()} Its last words: {said}")


def sentence(line: str) -> str:
    """What a line of a journal says; the agent's are JSON, with it in `event`."""
    try:
        return str(json.loads(line)["event"])
    except (ValueError, LookupError, TypeError):
        return line.strip()


def make_absent(module: AnsibleModule, name: str, file: Path) -> list[str]:
    """End the unit and remove it."""
    if not file.exists():
        return []
    if not module.check_mode:
        module.run_command(["systemctl", "disable", "--now", name], check_rc=True)
        file.unlink()
        module.run_command(["systemctl", "daemon-reload"], check_rc=True)
        module.run_command(["systemctl", "reset-failed", name])
    return ["it was there"]


def main() -> None:
    """Run as a module."""
    arguments = {
        "name": {"type": "str", "required": True},
        "pending": {"type": "bool", "default": False},
        "state": {"type": "str", "choices": ["current", "absent"], "default": "current"},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    name = module.params["name"]
    work = make_current if module.params["state"] == "current" else make_absent
    found = work(module, name, DIRECTORY / name)
    module.exit_json(
        changed=bool(found), reasons=found, diff={"before": "", "after": "".join(f"{name}: {why}\n" for why in found)}
    )


if __name__ == "__main__":
    main()
