"""Ansible module: the gateway's artifact on the controller."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: gateway_artifact
short_description: What the gateway's artifact on the controller is
description:
  - The artifact is the root file system of the gateway's image as tar.gz, which C(make artifact) makes.
  - Runs on the controller.
author: Meshgate
extends_documentation_fragment: meshgate_looks
options:
  path:
    description: The file.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Look at the artifact
  gateway_artifact:
    path: dist/meshgate-gateway.tar.gz
  delegate_to: localhost
  register: artifact
"""

RETURN = r"""
path: {description: The file., returned: success, type: str}
release: {description: The first 12 digits of its SHA-256., returned: success, type: str, sample: 97afef5b31cc}
architecture: {description: "Of its programs, as uname has it.", returned: success, type: str, sample: x86_64}
environment: {description: What its programs run with., returned: success, type: dict, sample: {PYTHONUNBUFFERED: "1"}}
"""

MACHINES = {0x3E: "x86_64", 0xB7: "aarch64", 0x28: "armv7l", 0xF3: "riscv64", 0x15: "ppc64le", 0x16: "s390x"}
"""Machines of ELF headers (elf.h), with their names in uname."""
MACHINE_AT = slice(18, 20)
ENVIRONMENT = {
    "PATH": "/opt/meshgate/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONPATH": "/opt/meshgate/app",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}
"""What the image says of its programs (gateway/Dockerfile); a root file system does not tell."""


def release(path: Path) -> str:
    """The name of what is in the file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()[:12]


def architecture(path: Path) -> str:
    """What the first program in the archive is made for; ValueError if there is none."""
    with tarfile.open(path, "r|gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            head = content.read(20) if content else b""
            if head.startswith(b"\x7fELF"):
                machine = int.from_bytes(head[MACHINE_AT], "big" if head[5] == 2 else "little")
                return MACHINES.get(machine, f"ELF machine {machine}")
    raise ValueError("no program is in it")


def main() -> None:
    """Run as a module."""
    module = AnsibleModule(argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True)
    path = Path(module.params["path"]).resolve()
    try:
        found = {"path": str(path), "release": release(path), "architecture": architecture(path)}
    except FileNotFoundError:
        module.fail_json(
            msg=f"There is no artifact {path} on the controller: run `make artifact`, or name one by meshgate_artifact."
        )
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        module.fail_json(msg=f"{path} is no artifact of a gateway ({error}): run `make artifact`.")
    module.exit_json(changed=False, **found, environment=ENVIRONMENT)


if __name__ == "__main__":
    main()
