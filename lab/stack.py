"""Run Pulumi for the stack `lab`: apart from the user's own Pulumi, and unattended.

What a killed run leaves behind (a lock, orphaned processes, creations of unknown outcome) is
cleared before the next one starts.
"""

import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import marker, paths, plugin
from lab.errors import LabError
from lab.progress import step
from lab.run import capture, run

NAME = "lab"
PROJECT = "meshgate"
DIRECTORY = paths.PULUMI_STACK_CONFIG.parent
"""Commands that do not run the program work here: they write beside the stack's config file."""

PASSPHRASE_FILE = DIRECTORY / "passphrase"
LOG = paths.LOGS / "pulumi.log"

_KEPT = ("encryptionsalt", "secretsprovider", "encryptedkey")
"""What Pulumi itself writes into a stack's config file."""


@dataclass(frozen=True)
class Facts:
    """What only this machine knows of the lab's stack."""

    ca_certificate: str
    gateway_image: str
    tailscale_image: str
    headscale_image: str


@dataclass(frozen=True)
class Stack:
    """The lab's stack and the directory with Pulumi's programs."""

    programs: Path

    def environment(self) -> dict[str, str]:
        """Return what to add to the environment of `pulumi`."""
        search = (str(self.programs), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
        return {
            "PATH": os.pathsep.join(search),
            "PULUMI_HOME": str(paths.PULUMI_HOME),
            "PULUMI_BACKEND_URL": f"file://{paths.PULUMI_STATE}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(PASSPHRASE_FILE),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "KUBECONFIG": str(paths.KUBECONFIG),
            **marker.own(),
        }

    def command(self, operation: str, *options: str) -> list[str]:
        """Return the command that runs the program; its working directory is the repository."""
        common = (f"--stack={NAME}", f"--config-file={paths.PULUMI_STACK_CONFIG}", "--non-interactive", "--color=never")
        return [str(self.programs / "pulumi"), operation, *common, *options]

    def prepare(self, facts: Facts) -> None:
        """Make the stack ready to run: config file, passphrase, plugin, and clear a killed run's traces."""
        paths.PULUMI_STATE.mkdir(parents=True, exist_ok=True)
        paths.PULUMI_HOME.mkdir(parents=True, exist_ok=True)
        if not PASSPHRASE_FILE.exists():
            PASSPHRASE_FILE.touch(mode=0o600)
            PASSPHRASE_FILE.write_text(secrets.token_urlsafe(32))
        # So that Pulumi knows, here as well, which project the stack belongs to.
        (DIRECTORY / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        write_config(facts)
        plugin.ensure(self.programs / "pulumi", self.environment())
        if not _state_file().exists():
            self._here("stack", "init", NAME)
        self.recover()

    def recover(self) -> None:
        """Clear what a killed run left behind; nothing happens when there is nothing."""
        marker.end_orphans()
        if any((paths.PULUMI_STATE / ".pulumi" / "locks").rglob("*.json")):
            with step("Release the lock of a Pulumi run that was killed"):
                self._here("cancel", "--yes", f"--stack={NAME}")
        if pending_operations(_state_file()):
            with step("Look at what a killed Pulumi run was just creating"):
                self.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")

    def up(self) -> None:
        """Run `pulumi up` to its end."""
        self.run("up", "--yes", "--skip-preview", "--suppress-outputs")

    def run(self, operation: str, *options: str) -> str:
        """Run an operation and return what Pulumi printed; raise LabError with its diagnostics if it fails."""
        doing = f"run `pulumi {operation}` of the stack {NAME}"
        command = self.command(operation, *options)
        try:
            run(command, doing=doing, log=LOG, cwd=paths.REPOSITORY, env=self.environment())
        except LabError as error:
            if not (said := diagnostics(LOG.read_text())):
                raise
            raise LabError(f"{error.sentence}\n{said}\n    (all of it: {LOG})") from error
        return LOG.read_text()

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs; secret ones are hidden."""
        if not _state_file().exists():
            return {}
        outputs: dict[str, Any] = json.loads(self._here("stack", "output", "--json", f"--stack={NAME}"))
        return outputs

    def _here(self, *arguments: str) -> str:
        """Run a command that concerns the stack alone, not the program."""
        command = [str(self.programs / "pulumi"), *arguments, "--non-interactive", "--color=never"]
        doing = f"run `pulumi {' '.join(arguments[:2])}`"
        return capture(command, doing=doing, cwd=DIRECTORY, env=self.environment())


def write_config(facts: Facts) -> None:
    """Write the stack's config file: the committed one plus this machine's facts."""
    committed = yaml.safe_load((paths.REPOSITORY / f"Pulumi.{NAME}.yaml").read_text())
    path = paths.PULUMI_STACK_CONFIG
    previous = yaml.safe_load(path.read_text()) if path.exists() else None
    draft = path.with_suffix(".new")
    draft.write_text(yaml.safe_dump(merge(committed, facts, previous or {}), sort_keys=False))
    draft.replace(path)


def merge(committed: Mapping[str, Any], facts: Facts, previous: Mapping[str, Any]) -> dict[str, Any]:
    """Return the committed settings with this machine's facts, and what Pulumi wrote itself."""
    settings = dict(committed["config"])
    settings[f"{PROJECT}:headscale"] = {
        **settings[f"{PROJECT}:headscale"],
        "ca_certificate": facts.ca_certificate,
        "image": facts.headscale_image,
    }
    images = {"image": facts.gateway_image, "tailscale_image": facts.tailscale_image}
    settings[f"{PROJECT}:gateways"] = [gateway | images for gateway in settings[f"{PROJECT}:gateways"]]
    return {**committed, "config": settings, **{key: previous[key] for key in _KEPT if key in previous}}


def diagnostics(printed: str) -> str:
    """Return the errors and warnings of what a Pulumi run printed: the part that says why it failed."""
    section = printed.partition("\nDiagnostics:\n")[2]
    for heading in ("\nOutputs:\n", "\nResources:\n"):
        section = section.partition(heading)[0]
    return section.rstrip()


def pending_operations(state_file: Path) -> Sequence[Any]:
    """Return the operations whose outcome a killed run never wrote down."""
    if not state_file.exists():
        return []
    latest = json.loads(state_file.read_text())["checkpoint"].get("latest") or {}
    pending: Sequence[Any] = latest.get("pending_operations") or []
    return pending


def _state_file() -> Path:
    return paths.PULUMI_STATE / ".pulumi" / "stacks" / PROJECT / f"{NAME}.json"
