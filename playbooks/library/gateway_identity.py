"""Ansible module: a gateway's private key and the tokens of its peer API, in files on its host."""

from __future__ import annotations

import base64
import os
import re
import secrets
from collections.abc import Callable
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
    description: Where the files C(private-key), C(tokens), C(issuing-certificate) and C(issuing-key) are.
    type: path
    default: /etc/meshgate
  private_key:
    description: The private key of the WireGuard interface, in the form of C(wg genkey).
    type: str
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


def main() -> None:
    """Run as a module."""
    arguments = {
        "directory": {"type": "path", "default": "/etc/meshgate"},
        "private_key": {"type": "str", "no_log": True},
        "key_pair": {"type": "bool", "default": True, "no_log": False},
        "tokens": {"type": "str", "no_log": True},
        "issuing_certificate": {"type": "str", "default": ""},
        "issuing_key": {"type": "str", "default": "", "no_log": True},
        "root": {"type": "path", "required": True},
    }
    module = AnsibleModule(argument_spec=arguments, supports_check_mode=True)
    given = {"private-key": module.params["private_key"], "tokens": (module.params["tokens"] or "").strip()}
    if given["private-key"] and not is_key(given["private-key"]):
        module.fail_json(msg="meshgate_private_key is no WireGuard key: it must be 44 characters, as of `wg genkey`.")
    for line in unusable_lines(given["tokens"]):
        module.fail_json(
            msg=f"meshgate_tokens: line {line} is not `SCOPES TOKEN`, such as `register,read 9f…`: scopes are "
            "register, read and admin, and a token has at least 16 characters."
        )
    makers: dict[str, Callable[[], str]] = {"private-key": new_private_key} if module.params["key_pair"] else {}
    makers["tokens"] = new_tokens
    before, after = {}, {}
    for name, maker in makers.items():
        path = Path(module.params["directory"], name)
        before[name] = held(path)
        after[name] = given[name] or before[name] or ("" if module.check_mode else maker())
        if after[name] != before[name] and not module.check_mode:
            hold(path, after[name])
    changes = [name for name in makers if not before[name] or after[name] != before[name]]
    for name in ("issuing-certificate", "issuing-key"):
        path, wanted = Path(module.params["directory"], name), module.params[name.replace("-", "_")].strip()
        if held(path) != wanted:
            changes.append(name)
            if not module.check_mode:
                replace(path, wanted)
    module.exit_json(
        changed=bool(changes),
        public_key=public_key(module, after.get("private-key", "")),
        diff={"before": "", "after": "".join(f"new {name}\n" for name in changes)} if changes else {},
    )


if __name__ == "__main__":
    main()
