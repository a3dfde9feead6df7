"""Ansible module: a gateway's tailscaled, joined to its mesh."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.meshgate_tailscale import SOCKET, seen

DOCUMENTATION = r"""
module: tailscale_up
short_description: A gateway's tailscaled, joined to its mesh
description:
  - Runs C(tailscale up) if tailscaled has not joined, or has joined elsewhere or otherwise than the arguments say.
  - The pre-auth key goes to its standard input. It is in no file and on no command line of the host.
author: Meshgate
options:
  program:
    description: The CLI, or a tailscaled that is built with it.
    type: path
    required: true
  arguments:
    description: Of C(tailscale up), as I(--name=value), but for the pre-auth key; known here are those of a gateway.
    type: list
    elements: str
    required: true
  pre_auth_key:
    description: What tailscaled joins with.
    type: str
  forgotten:
    description: Whether Headscale does not know the host's node any more, so that it has to join again.
    type: bool
    default: false
  deadline_seconds:
    description: How long it may take.
    type: int
    default: 60
attributes:
  check_mode:
    support: full
    description: Tells whether it would run.
  diff_mode:
    support: full
    description: Shows tailscaled's preferences that differ.
"""

EXAMPLES = r"""
- name: Join the mesh
  tailscale_up:
    program: /usr/bin/tailscale
    arguments: ["--login-server=https://headscale.example.com", "--hostname=meshgate-edge"]
    pre_auth_key: "{{ meshgate_pre_auth_key }}"
"""

RETURN = r"""
node_key: {description: The node's key in the mesh; empty in check mode before it has joined., type: str}
"""

START_SECONDS = 10.0
EXIT_ROUTES = ["0.0.0.0/0", "::/0"]
FLAGS: dict[str, tuple[str, object]] = {
    "--advertise-exit-node": ("AdvertiseRoutes", EXIT_ROUTES),
    "--stateful-filtering=false": ("NoStatefulFiltering", True),
    "--accept-dns=false": ("CorpDNS", False),
    "--accept-routes=false": ("RouteAll", False),
}

VALUES = {"--login-server": "ControlURL", "--hostname": "Hostname"}
"""Which preference an argument stands for (tailscale: ipn/prefs.go)."""


def preferences(arguments: Iterable[str]) -> dict[str, object]:
    """The preferences that arguments of `tailscale up` stand for; ValueError names one that is not known."""
    wanted: dict[str, object] = {"WantRunning": True}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if argument not in FLAGS and name not in VALUES:
            raise ValueError(f"{argument} is no argument of `tailscale up` that this module can compare")
        key, setting = FLAGS[argument] if argument in FLAGS else (VALUES[name], value)
        wanted[key] = setting
    return wanted


def settled(seconds: float) -> dict[str, Any]:
    """tailscaled as it is once it has read its state, or after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        now = seen(SOCKET)
        if (now and now["state"] != "NoState") or time.monotonic() >= end:
            return now or {"joined": False, "url": "", "node_key": "", "preferences": {}}
        time.sleep(0.1)


def up(module: AnsibleModule, arguments: list[str], key: str | None) -> None:
    """Run `tailscale up`; what it says is shown without the key."""
    deadline = module.params["deadline_seconds"]
    command = [module.params["program"], f"--socket={SOCKET}", "up", "--reset", f"--timeout={deadline}s", *arguments]
    if key:
        command.append("--auth-key=file:/dev/stdin")
    # A tailscaled that is built with its CLI is that if it is told so; others take no notice.
    status, output, complaint = module.run_command(command, data=key, environ_update={"TS_BE_CLI": "1"})
    if status != 0:
        said = " ".join(f"{output} {complaint}".split()).replace(key or "\0", "(the key)")
        module.fail_json(msg=f"The host could not join the mesh; can it reach Headscale? `tailscale up` says: {said}")


def shown(values: dict[str, Any], names: Iterable[str]) -> str:
    """Preferences as a diff shows them."""
    return "".join(f"{name}: {values.get(name)}\n" for name in sorted(names))


def main() -> None:
    """Run as a module."""
    arguments = {
        "program": {"type": "path", "required": True},
        "arguments": {"type": "list", "elements": "str", "required": True},
        "pre_auth_key": {"type": "str", "no_log": True},
        "forgotten": {"type": "bool", "default": False},
        "deadline_seconds": {"type": "int", "default": 60},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    try:
        wanted = preferences(module.params["arguments"])
    except ValueError as error:
        module.fail_json(msg=f"{error}.")
    now = settled(0 if module.check_mode else START_SECONDS)
    moves = now["joined"] and (module.params["forgotten"] or now["url"] != wanted.get("ControlURL"))
    joins = not now["joined"] or moves
    differ = [name for name, value in wanted.items() if now["preferences"].get(name) != value]
    if (joins or differ) and not module.check_mode:
        if joins and not module.params["pre_auth_key"]:
            module.fail_json(msg="The host has not joined the mesh and there is no pre-auth key: run the play again.")
        again = ["--force-reauth"] if moves else []
        key = module.params["pre_auth_key"] if joins else None
        up(module, [*module.params["arguments"], *again], key)
    node_key = now["node_key"] if module.check_mode else settled(START_SECONDS)["node_key"]
    module.exit_json(
        changed=joins or bool(differ),
        node_key=node_key,
        diff={"before": shown(now["preferences"], differ), "after": shown(wanted, differ)} if differ else {},
    )


if __name__ == "__main__":
    main()
