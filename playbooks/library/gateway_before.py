"""Ansible module: notes what a host was like before it became a gateway (sysctls, nft tables), and puts it back."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gateway_before
short_description: What a host was like before it became a gateway
description:
  - Notes once what the gateway will change beside its own files, and puts it back at the end. That is the
    kernel's forwarding, nft's tables, and whether the host's own tailscaled runs. Rules of routing that a rotated key
    needs are taken away.
author: Meshgate
options:
  state:
    description: V(noted) writes it down unless it is; V(restored) puts it back and forgets it.
    type: str
    choices: [noted, restored]
    required: true
  path:
    description: Where it is noted.
    type: path
    default: /etc/meshgate/before.json
  tailscaled:
    description: Whether tailscaled.service is active, and whether it is enabled.
    type: dict
    default: {}
  root:
    description: The release whose C(nft) is used. In check mode it may be missing.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Tells what would be done.
  diff_mode:
    support: full
    description: Shows what would be put back.
"""

EXAMPLES = r"""
- name: Note what the host is like
  gateway_before:
    state: noted
    root: /opt/meshgate/97afef5b31cc
"""

NET = Path("/proc/sys/net")
SWITCHES = (("ipv4", ("forwarding", "accept_redirects")), ("ipv6", ("forwarding", "accept_ra")))
"""The sysctls that forwarding changes (kernel: ip-sysctl.rst), for all interfaces at once and for each of them."""
TAILSCALED = "tailscaled.service"
TABLES = {("inet", "meshgate"), ("inet", "meshgate-ipsec"), ("inet", "meshgate_rotation")}
RULES = "5182"
"""The priority of the agent's rules while a key is rotated; their routes go with the interface."""
IPTABLES = {(family, name) for family in ("ip", "ip6") for name in ("filter", "nat", "mangle")}
"""Tables that tailscaled makes in the form of iptables, and leaves behind empty."""


def switches() -> dict[str, str]:
    """Every switch that forwarding touches, those for all interfaces first: they set the others."""
    found = {}
    for version, names in SWITCHES:
        directories = (NET / version / "conf").glob("*")
        for directory in sorted(directories, key=lambda path: (path.name != "all", path.name != "default", path.name)):
            for name in names:
                found[str(directory / name)] = (directory / name).read_text().strip()
    return found


def restore_switches(noted: dict[str, str], check: bool) -> list[str]:
    """Put back what is otherwise; interfaces that have gone are passed over."""
    done = []
    for name, value in noted.items():
        path = Path(name)
        if path.exists() and path.read_text().strip() != value:
            done.append(f"{name} = {value}")
            if not check:
                path.write_text(value)
    return done


def empty_tables(listing: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Tables of tailscaled's that do nothing: no rule, no set, and nothing dropped."""
    empty = tables(listing)
    for entry in listing:
        for kind, thing in entry.items():
            harmless = kind in {"table", "metainfo"} or (kind == "chain" and thing.get("policy") == "accept")
            if not harmless:
                empty.discard((thing.get("family"), thing.get("table")))
    return empty & IPTABLES


def nft(module: AnsibleModule, *arguments: str) -> str:
    """Run the release's nft."""
    return str(module.run_command(["chroot", module.params["root"], "nft", *arguments], check_rc=True)[1])


def ruleset(module: AnsibleModule) -> list[dict[str, Any]]:
    """All that nft lists."""
    listing: list[dict[str, Any]] = json.loads(nft(module, "-j", "list", "ruleset"))["nftables"]
    return listing


def tables(listing: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Family and name of each table."""
    return {(entry["table"]["family"], entry["table"]["name"]) for entry in listing if "table" in entry}


def restore_tables(module: AnsibleModule, noted: list[list[str]]) -> list[str]:
    """Delete our tables, and what tailscaled has left of its own."""
    listing = ruleset(module)
    ours = {table for table in empty_tables(listing) if list(table) not in noted} | (TABLES & tables(listing))
    for table in sorted(ours):
        if not module.check_mode:
            nft(module, "delete", "table", *table)
    return [f"no table {family} {name}" for family, name in sorted(ours)]


def remove_rules(module: AnsibleModule) -> list[str]:
    """Delete the rules that lead to the interface of a previous key."""
    done = []
    for family in ("-4", "-6"):
        shown = module.run_command(["ip", "-json", family, "rule", "show", "pref", RULES])[1]
        for _ in json.loads(shown or "[]"):
            done.append(f"no rule {family} {RULES}")
            if not module.check_mode:
                module.run_command(["ip", family, "rule", "delete", "pref", RULES], check_rc=True)
    return done


def restore_tailscaled(module: AnsibleModule, noted: dict[str, bool]) -> list[str]:
    """Let the host's own tailscaled be as it was."""
    commands = {"enabled": ["systemctl", "enable", TAILSCALED], "active": ["systemctl", "start", TAILSCALED]}
    wanted = [name for name in commands if noted.get(name)]
    for name in wanted:
        if not module.check_mode:
            module.run_command(commands[name], check_rc=True)
    return [f"{TAILSCALED} {name}" for name in wanted]


def note(module: AnsibleModule, path: Path) -> None:
    """Write down how things are."""
    draft = path.with_name(f".{path.name}")
    noted = {
        "switches": switches(),
        "tables": sorted(tables(ruleset(module))),
        "tailscaled": module.params["tailscaled"],
    }
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(noted, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def main() -> None:
    """Run as a module."""
    arguments = {
        "state": {"type": "str", "choices": ["noted", "restored"], "required": True},
        "path": {"type": "path", "default": "/etc/meshgate/before.json"},
        "tailscaled": {"type": "dict", "default": {}},
        "root": {"type": "path", "required": True},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    path = Path(module.params["path"])
    there = path.exists()
    if module.params["state"] == "noted":
        if not there and not module.check_mode:
            note(module, path)
        module.exit_json(changed=not there)
    if not there:
        module.exit_json(changed=False)
    noted = json.loads(path.read_text())
    done = [
        *restore_switches(noted["switches"], module.check_mode),
        *restore_tables(module, noted["tables"]),
        *remove_rules(module),
        *restore_tailscaled(module, noted["tailscaled"]),
    ]
    if not module.check_mode:
        path.unlink()
    module.exit_json(changed=True, diff={"before": "", "after": "".join(f"{line}\n" for line in done)})


if __name__ == "__main__":
    main()
