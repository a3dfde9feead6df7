"""Runs one of our Ansible modules as Ansible does, but in this process and against a Headscale in memory."""

import contextlib
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml
from ansible import module_utils
from ansible.module_utils.testing import patch_module_args

from playbooks.doc_fragments.meshgate_server import ModuleDocFragment

PLAYBOOKS = Path(__file__).parents[3] / "playbooks"

# What `module_utils` in ansible.cfg does for a module that is run by Ansible.
module_utils.__path__.append(str(PLAYBOOKS / "module_utils"))

Outcome = dict[str, Any]


def run(module: ModuleType, arguments: Outcome, *, check: bool = False) -> Outcome:
    """What the module answers; a failure has `failed` and `msg`."""
    printed = io.StringIO()
    with (
        patch_module_args({**arguments, "_ansible_check_mode": check}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    answer: Outcome = json.loads(printed.getvalue())
    return answer


def documented_options(module: ModuleType) -> dict[str, Any]:
    """The options that the module documents, with those of the fragment that it extends."""
    document = yaml.safe_load(module.DOCUMENTATION)
    extends_server = "meshgate_server" in document.get("extends_documentation_fragment", ())
    shared = yaml.safe_load(ModuleDocFragment.DOCUMENTATION) if extends_server else {}
    return {**shared.get("options", {}), **document.get("options", {})}
