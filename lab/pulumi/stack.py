"""Run Pulumi for a stack of the lab: apart from the user's own Pulumi, and unattended.

A killed run leaves behind a lock, orphaned processes and creations of unknown outcome. The next one
clears them before it starts.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from console import environment, project, pulumi_cli
from console.errors import StepError
from console.progress import step
from console.run import capture, run
from lab import paths
from lab.kubernetes_plugin.provider_settings import LAB_PLUGIN
from lab.processes import marker
from lab.pulumi import plugin

PREFIX = f"{project.NAME}:"
"""Stands before each setting in a stack's config file."""

PASSPHRASE_FILE = paths.PULUMI / "passphrase"

FINISH_SECONDS = 60
"""How long an interrupted run may take to finish the step it is at and to write its state."""

_KEPT = ("encryptionsalt", "secretsprovider", "encryptedkey")
"""What Pulumi itself writes into a stack's config file."""

_AT_WORK = re.compile(r" [-+~]+ +(?:\S*:)?(?P<kind>\S+) (?P<name>\S+) (?P<doing>\w+ing)\b")
"""A line of Pulumi's output about a resource, as ` +  kubernetes:core/v1:Secret token creating (0s)`."""


@dataclass(frozen=True)
class Stack:
    """A stack of this work tree's program in the lab, and the directory with Pulumi's programs.

    All stacks share the lab's backend, passphrase and cluster; each has a config file and a log.
    """

    programs: Path
    name: str = project.LAB
    """`make up` runs the lab's; tests run others beside it."""

    @property
    def config_file(self) -> Path:
        """The stack's settings, outside of the work tree."""
        return paths.PULUMI / f"Pulumi.{self.name}.yaml"

    @property
    def log(self) -> Path:
        """What the latest run printed."""
        return paths.LOGS / f"pulumi-{self.name}.log"

    @property
    def state_file(self) -> Path:
        """The stack's checkpoint in the file backend."""
        return paths.PULUMI_STATE / ".pulumi" / "stacks" / project.NAME / f"{self.name}.json"

    def files(self) -> tuple[Path, ...]:
        """Return what tells this stack from every other: its settings and its state."""
        return self.config_file, self.state_file

    def environment(self) -> dict[str, str]:
        """Return what to add to the environment of `pulumi`."""
        return {
            **pulumi_cli.environment(self.programs),
            "PULUMI_HOME": str(paths.PULUMI_HOME),
            "PULUMI_BACKEND_URL": f"file://{paths.PULUMI_STATE}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(PASSPHRASE_FILE),
            "KUBECONFIG": str(paths.KUBECONFIG),
            LAB_PLUGIN: environment.callers().get(LAB_PLUGIN, ""),
            **marker.own(),
        }

    def command(self, operation: str, *options: str) -> list[str]:
        """Return the command that runs the program; its working directory is the repository."""
        common = (f"--stack={self.name}", f"--config-file={self.config_file}", "--non-interactive", "--color=never")
        return [str(self.programs / "pulumi"), operation, *common, *options]

    def prepare(self, settings: Mapping[str, Any]) -> None:
        """Make the stack ready to run with these settings: passphrase, plugin, no traces of a killed run."""
        paths.PULUMI_STATE.mkdir(parents=True, exist_ok=True)
        paths.PULUMI_HOME.mkdir(parents=True, exist_ok=True)
        if not PASSPHRASE_FILE.exists():
            PASSPHRASE_FILE.touch(mode=0o600)
            PASSPHRASE_FILE.write_text(secrets.token_urlsafe(32))
        # So that Pulumi knows, here as well, which project the stack belongs to.
        (paths.PULUMI / "Pulumi.yaml").write_text(f"name: {project.NAME}\nruntime: python\n")
        self.write(settings)
        plugin.ensure(self.programs / "pulumi", self.environment())
        if not self.state_file.exists():
            self._here("stack", "init", self.name)
        self.recover()

    def write(self, settings: Mapping[str, Any]) -> None:
        """Write the stack's config file: `settings` as in infra/settings, and what Pulumi itself wrote.

        A secret setting that is not among them is forgotten.
        """
        previous = yaml.safe_load(self.config_file.read_text()) if self.config_file.exists() else {}
        content = {
            "config": {f"{PREFIX}{key}": value for key, value in settings.items()},
            **{key: previous[key] for key in _KEPT if key in previous},
        }
        draft = self.config_file.with_suffix(".new")
        draft.write_text(yaml.safe_dump(content, sort_keys=False))
        draft.replace(self.config_file)

    def settings(self) -> dict[str, Any]:
        """Return the settings in the config file; secret ones are encrypted there."""
        config: dict[str, Any] = yaml.safe_load(self.config_file.read_text())["config"]
        return {key.removeprefix(PREFIX): value for key, value in config.items()}

    def set_secret(self, path: str, value: str) -> None:
        """Set a secret setting; `path` is its key, or `key.inner` within an object."""
        self._here("config", "set", "--secret", "--path", f"{PREFIX}{path}", f"--stack={self.name}", stdin=value)

    def recover(self) -> None:
        """Clear what a killed run left behind; nothing happens when there is nothing."""
        marker.end_orphans()
        if any((paths.PULUMI_STATE / ".pulumi" / "locks").rglob(f"{self.name}/*.json")):
            with step("Release the lock of a Pulumi run that was killed"):
                self._here("cancel", "--yes", f"--stack={self.name}")
        if pending_operations(self.state_file):
            with step("Look at what a killed Pulumi run was just creating"):
                self.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")

    def up(self, tell: Callable[[str], object] = lambda _: None, *, refresh: bool = False) -> None:
        """Run `pulumi up` to its end, with `refresh` from what is in truth; `tell` is told which resource it is at."""
        asked = ("--refresh",) if refresh else ()
        self.run("up", "--yes", "--skip-preview", "--suppress-outputs", *asked, tell=tell)

    def refresh(self, urns: Sequence[str]) -> None:
        """Let the state learn how these resources are in truth."""
        self.run("refresh", "--yes", "--skip-preview", *(f"--target={urn}" for urn in urns))

    def run(self, operation: str, *options: str, tell: Callable[[str], object] = lambda _: None) -> str:
        """Run an operation and return what Pulumi printed; raise StepError with its diagnostics if it fails.

        When it is interrupted Pulumi finishes the step it is at, so that its state stays true.
        """

        def follow(line: str) -> None:
            if at_work := _AT_WORK.match(line):
                tell("{kind} {name} {doing}".format(**at_work.groupdict()))

        try:
            run(
                self.command(operation, *options),
                doing=f"run `pulumi {operation}` of the stack {self.name}",
                log=self.log,
                cwd=paths.REPOSITORY,
                env=self.environment(),
                finish_seconds=FINISH_SECONDS,
                follow=follow,
            )
        except StepError as error:
            if not (said := diagnostics(self.log.read_text())):
                raise
            raise StepError(f"{error.sentence}\n{said}\n    (all of it: {self.log})") from error
        except KeyboardInterrupt:
            marker.end_orphans()
            raise
        return self.log.read_text()

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs; secret ones are hidden."""
        if not self.state_file.exists():
            return {}
        outputs: dict[str, Any] = json.loads(self._here("stack", "output", "--json", f"--stack={self.name}"))
        return outputs

    def resources(self) -> Sequence[Mapping[str, Any]]:
        """Return the resources in its state, as the engine wrote them."""
        return _latest(self.state_file, "resources")

    def remove(self) -> None:
        """Forget the stack, whose resources are destroyed; StepError while it has any."""
        self._here("stack", "rm", "--yes", f"--stack={self.name}")
        self.config_file.unlink(missing_ok=True)

    def _here(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that concerns the stack alone, not the program, beside its config file."""
        command = [str(self.programs / "pulumi"), *arguments, "--non-interactive", "--color=never"]
        doing = f"run `pulumi {' '.join(arguments[:2])}`"
        return capture(command, doing=doing, cwd=paths.PULUMI, env=self.environment(), stdin=stdin)


def diagnostics(printed: str) -> str:
    """Return the errors and warnings of what a Pulumi run printed: the part that says why it failed."""
    section = printed.partition("\nDiagnostics:\n")[2]
    for heading in ("\nOutputs:\n", "\nResources:\n"):
        section = section.partition(heading)[0]
    return section.rstrip()


def pending_operations(state_file: Path) -> Sequence[Any]:
    """Return the operations whose outcome a killed run never wrote down."""
    return _latest(state_file, "pending_operations")


def _latest(state_file: Path, part: str) -> Sequence[Any]:
    """Return a part of what the file backend wrote last."""
    if not state_file.exists():
        return []
    latest = json.loads(state_file.read_text())["checkpoint"].get("latest") or {}
    found: Sequence[Any] = latest.get(part) or []
    return found
