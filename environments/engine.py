"""Makes an environment with the user's Pulumi: first its stack file (Pulumi.NAME.yaml), then its stack."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from console import project, pulumi_cli
from console.environment import callers
from console.errors import StepError
from console.run import capture
from environments.answers import AnswerError, parsed, text
from infra.settings.stack import StackSettings
from review import events, own_rules

PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")
_MADE_BY_PULUMI = ("encryptionsalt", "secretsprovider", "encryptedkey")


@dataclass(frozen=True)
class Environment:
    """An environment and its name. `programs` is the directory with Pulumi's programs."""

    name: str
    programs: Path

    @property
    def file(self) -> Path:
        """Its stack file, beside the program."""
        return project.stack_file(self.name)

    def require_secrets_provider(self) -> None:
        """Refuse to go on without the passphrase that its secrets will be encrypted with."""
        passphrase, file = map(os.environ.get, PASSPHRASE)
        if not passphrase and not file:
            raise AnswerError(
                f"There is no passphrase to encrypt the secrets of {self.name} with: set {' or '.join(PASSPHRASE)}, "
                "and keep it, since without it they are lost."
            )
        if file and not passphrase and not (Path(file).is_file() and text(Path(file)).strip()):
            raise AnswerError(
                f"PULUMI_CONFIG_PASSPHRASE_FILE names {file}, which is not there or empty: write a passphrase into it "
                "(docs/environments.md), and keep it."
            )

    def stack_exists(self) -> bool:
        """Whether the backend has its stack. Raises AnswerError when there is no backend."""
        try:
            listed = json.loads(self._pulumi("stack", "ls", "--json"))
        except StepError as error:
            raise AnswerError(
                f"Pulumi has no backend to keep the state in: `pulumi login` to one, or set PULUMI_BACKEND_URL "
                f"(docs/environments.md). {error}"
            ) from error
        return self.name in [stack["name"] for stack in listed]

    def written(self) -> bool:
        """Whether its stack file is there."""
        if not self.file.exists():
            return False
        content = parsed(self.file)
        if not isinstance(content, dict) or not set(_MADE_BY_PULUMI) & set(content):
            raise AnswerError(f"{self.file.name} is there already and is no environment of yours; take another name.")
        return True

    def write(self, settings: StackSettings) -> None:
        """Write its stack file, whole and with encrypted secrets, or not at all."""
        with tempfile.TemporaryDirectory() as directory:
            content = self._encrypted(Path(directory), settings)
        config = settings.model_dump(mode="json", exclude_defaults=True, exclude={"headscale_api_key"})
        plain = {f"{project.NAME}:{key}": value for key, value in config.items()}
        content["config"] = plain | content.get("config", {})
        text = f"# The environment {self.name}: what differs from the defaults (docs/reference.md).\n"
        draft = self.file.with_name(f".{self.file.name}.draft")
        draft.write_text(text + yaml.safe_dump(content, sort_keys=False))
        draft.rename(self.file)

    def _encrypted(self, directory: Path, settings: StackSettings) -> dict[str, Any]:
        """What Pulumi writes into a stack file: how secrets are encrypted, and the encrypted API key.

        It writes for a stack in a backend of this directory. The user's own backend learns of nothing unfinished.
        """
        (directory / "Pulumi.yaml").write_text(f"name: {project.NAME}\nruntime: python\n")
        elsewhere = {"PULUMI_BACKEND_URL": f"file://{directory}"}
        self._pulumi("stack", "init", self.name, cwd=directory, env=elsewhere)
        if settings.headscale_api_key:
            key = settings.headscale_api_key.get_secret_value()
            set_it = ("config", "set", "--secret", "headscale_api_key", f"--stack={self.name}")
            self._pulumi(*set_it, cwd=directory, env=elsewhere, stdin=key)
        content: dict[str, Any] = yaml.safe_load((directory / self.file.name).read_text())
        return content

    def init_stack(self) -> None:
        """Make its stack in the user's backend."""
        self._pulumi("stack", "init", self.name)

    def preview(self) -> tuple[str, ...] | None:
        """Show what `pulumi up` would do, and return the rules that it would break: None when there is no preview."""
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory) / "events.jsonl"
            command = [str(self.programs / "pulumi"), "preview", f"--stack={self.name}", "--non-interactive"]
            # As Pulumi's own Automation API has it: the log is an option of its debug commands.
            environment = {**callers(), **self._environment(), "PULUMI_DEBUG_COMMANDS": "true"}
            done = subprocess.run(
                [*command, f"--event-log={log}"], cwd=project.REPOSITORY, env=environment, check=False
            )
            if done.returncode != 0:
                return None
            return own_rules.broken(self.name, events.read(log.read_text()))

    def _pulumi(
        self,
        *arguments: str,
        cwd: Path = project.REPOSITORY,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> str:
        command = [str(self.programs / "pulumi"), *arguments, "--non-interactive", "--color=never"]
        doing = f"run `pulumi {' '.join(arguments[:2])}`"
        variables = self._environment() | dict(env or {})
        return capture(command, doing=doing, cwd=cwd, base=callers(), env=variables, stdin=stdin)

    def _environment(self) -> dict[str, str]:
        return pulumi_cli.environment(self.programs)
