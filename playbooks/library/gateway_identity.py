"""Ansible module: a gateway's private key and the tokens of its peer API, in files on its host."""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gateway_identity
short_description: A gateway's private key and the tokens of its peer API
description:
  - Keeps them in files that root alone can read. What is given replaces what is there; what is not given is made once.
  - Where the gateway has no key pair, a private key from before stays in its file. It may be the only copy.
author: Meshgate
options:
  directory:
    description: Where the files are, such as C(private-key), C(tokens), C(issuing-certificate) and C(issuing-key).
    type: path
    default: /etc/meshgate
  private_key:
    description: The private key of the WireGuard interface, in the form of C(wg genkey).
    type: str
  previous_private_key:
    description: The private key before that one, where it is kept.
    type: str
  keep_previous:
    description:
      - Whether devices may still use the key before the present one. If O(previous_private_key) is not given, it is the
        one of the host's that O(previous_public_key) tells. If O(private_key) is not given either, another one is made.
    type: bool
    default: false
  previous_public_key:
    description: The public key that the agent's settings on the host have at the port that older configs dial.
    type: str
    default: ""
  key_pair:
    description: Whether the gateway has a WireGuard key pair.
    type: bool
    default: true
  tokens:
    description: The bearer tokens of the peer API, a line C(SCOPES TOKEN) each.
    type: str
  issuing_certificate:
    description: What the gateway issues certificates with; empty where it issues none, and then there is no file of it.
    type: str
    default: ""
  issuing_key:
    description: The key of that certificate; empty where there is none.
    type: str
    default: ""
  root:
    description: The release whose C(wg) tells the public key.
    type: path
    required: true
attributes:
  check_mode:
    support: full
    description: Tells which of them would be made or replaced.
  diff_mode:
    support: full
    description: Names them, and never shows them.
"""

EXAMPLES = r"""
- name: Give the gateway its key and tokens
  gateway_identity:
    private_key: "{{ meshgate_private_key | default(omit) }}"
    root: /opt/meshgate/97afef5b31cc
  register: identity
"""

RETURN = r"""
public_key:
  description: The public key. Empty without a key pair, and in check mode while there is no key, or no release, yet.
  returned: success
  type: str
previous_public_key: {description: The public key before it; empty where none is kept., returned: success, type: str}
"""


SCOPE = "(register|read|admin)"
TOKEN_LINE = rf"{SCOPE}(,{SCOPE})*\s+(?=\S{{16}})[A-Za-z0-9._~+/-]+=*"
"""As gateway/agent/tokens.py reads it, which is not there where this module runs."""


def new_private_key() -> str:
    """32 random bytes as Curve25519 wants them (RFC 7748, section 5), in the form of `wg genkey`."""
    key = bytearray(os.urandom(32))
    key[0] &= 248
    key[31] = key[31] & 127 | 64
    return base64.b64encode(key).decode()


def new_tokens() -> str:
    """A token for an orchestrator and one for the operator."""
    return "\n".join(f"{scope} {secrets.token_urlsafe(32)}" for scope in ("register", "admin"))


def unusable_lines(tokens: str) -> list[int]:
    """The numbers of the lines that the agent would refuse."""
    lines = {number: line.strip() for number, line in enumerate(tokens.splitlines(), 1)}
    return [number for number, line in lines.items() if not re.fullmatch(rf"|#.*|{TOKEN_LINE}", line)]


def is_key(text: str) -> bool:
    """Whether a text is a key as `wg` writes it."""
    try:
        return len(text) == 44 and len(base64.b64decode(text, validate=True)) == 32
    except ValueError:
        return False


def held(path: Path) -> str:
    """What a file holds; nothing if it is not there."""
    return path.read_text().strip() if path.exists() else ""


def hold(path: Path, secret: str) -> None:
    """Put a secret into a file, all of it or nothing."""
    draft = path.with_name(f".{path.name}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)


def replace(path: Path, secret: str) -> None:
    """Put a secret into a file, or take the file away if there is none."""
    if secret:
        hold(path, secret)
    else:
        path.unlink(missing_ok=True)


def public_key(module: AnsibleModule, private_key: str) -> str:
    """The public key, of the release's own `wg`; empty where there is none yet."""
    root = module.params["root"]
    if not private_key or not Path(root, "usr/bin/wg").exists():
        return ""
    status, key, complaint = module.run_command(["chroot", root, "wg", "pubkey"], data=private_key)
    if status != 0:
        module.fail_json(msg=f"The private key in {module.params['directory']} is none: {complaint.strip()}.")
    return str(key).strip()


def previous(module: AnsibleModule, held_keys: Sequence[str]) -> str:
    """The private key before the present one, which may be any of those that the host has; empty where none is kept."""
    if not module.params["keep_previous"]:
        return ""
    wanted = module.params["previous_public_key"]
    of_host = (key for key in held_keys if wanted and public_key(module, key) == wanted)
    found = str(module.params["previous_private_key"] or next(of_host, ""))
    if not found or found == module.params["private_key"]:
        module.fail_json(
            msg="meshgate_gateway.previous_key: there is no WireGuard key before the present one. Give the port that "
            "the host's key has until now, and no meshgate_private_key or another one; or leave previous_key out."
        )
    return found


def main() -> None:
    """Run as a module."""
    arguments = {
        "directory": {"type": "path", "default": "/etc/meshgate"},
        "private_key": {"type": "str", "no_log": True},
        "previous_private_key": {"type": "str", "no_log": True},
        "keep_previous": {"type": "bool", "default": False},
        "previous_public_key": {"type": "str", "default": "", "no_log": False},
        "key_pair": {"type": "bool", "default": True, "no_log": False},
        "tokens": {"type": "str", "no_log": True},
        "issuing_certificate": {"type": "str", "default": ""},
        "issuing_key": {"type": "str", "default": "", "no_log": True},
        "root": {"type": "path", "required": True},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    given = {"private-key": module.params["private_key"], "tokens": (module.params["tokens"] or "").strip()}
    for name in ("private_key", "previous_private_key"):
        if module.params[name] and not is_key(module.params[name]):
            module.fail_json(msg=f"meshgate_{name} is no WireGuard key: it must be 44 characters, as of `wg genkey`.")
    for line in unusable_lines(given["tokens"]):
        module.fail_json(
            msg=f"meshgate_tokens: line {line} is not `SCOPES TOKEN`, such as `register,read 9f…`: scopes are "
            "register, read and admin, and a token has at least 16 characters."
        )
    makers: dict[str, Callable[[], str]] = {"private-key": new_private_key} if module.params["key_pair"] else {}
    makers["tokens"] = new_tokens
    directory = Path(module.params["directory"])
    before = {name: held(directory / name) for name in (*makers, "previous-private-key")}
    kept = previous(module, [before.get("private-key", ""), before["previous-private-key"]])
    others = {name: module.params[name.replace("-", "_")].strip() for name in ("issuing-certificate", "issuing-key")}
    changes = []
    # The key before the present one first: a run that is killed then makes the present one when it is run again.
    for name, wanted in {"previous-private-key": kept, **others}.items():
        if held(directory / name) != wanted:
            changes.append(name)
            if not module.check_mode:
                replace(directory / name, wanted)
    after = {}
    for name, maker in makers.items():
        there = before[name] if before[name] != kept else ""
        after[name] = given[name] or there or ("" if module.check_mode else maker())
        if after[name] != before[name] or not before[name]:
            changes.append(name)
            if not module.check_mode:
                hold(directory / name, after[name])
    module.exit_json(
        changed=bool(changes),
        public_key=public_key(module, after.get("private-key", "")),
        previous_public_key=public_key(module, kept),
        diff={"before": "", "after": "".join(f"new {name}\n" for name in changes)} if changes else {},
    )


if __name__ == "__main__":
    main()
