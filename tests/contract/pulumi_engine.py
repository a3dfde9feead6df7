"""The program under the real Pulumi engine: a stack of its own in a directory, apart from every other Pulumi."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import paths
from lab.pulumi import plugin

PROJECT, STACK = "meshgate", "errors"
API_KEY = f"{PROJECT}:headscale_api_key"
PASSPHRASE = "the right passphrase"
TIMEOUT = 100


@dataclass(frozen=True)
class Run:
    """What a user sees of one run: the exit code and all that was printed."""

    code: int
    text: str

    @property
    def said(self) -> str:
        """Its diagnostics, or all of it when it has none, on one line."""
        return " ".join((self.text.partition("\nDiagnostics:\n")[2] or self.text).split())


class Engine:
    """Runs the program with one stack: file backend, passphrase, plugins and config file are in `directory`.

    `environment` is that of `pulumi`, for programs that call it.
    """

    def __init__(self, directory: Path, programs: Path, kubeconfig: Path) -> None:
        self.directory = directory
        self._programs = programs
        self._config = directory / f"Pulumi.{STACK}.yaml"
        (directory / "state").mkdir()
        (directory / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        (directory / "passphrase").write_text(PASSPHRASE)
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"])),
            "PULUMI_HOME": str(directory / "home"),
            "PULUMI_BACKEND_URL": f"file://{directory / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(directory / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "KUBECONFIG": str(kubeconfig),
        }
        plugin.write_stand_in(directory / "home" / "plugins" / plugin.DIRECTORY)
        self._here("stack", "init", STACK)
        self._made_by_pulumi: dict[str, Any] = yaml.safe_load(self._config.read_text())
        self._encrypted: dict[str, Any] = {}

    def configure(self, settings: dict[str, object], *, api_key: str | None = None) -> None:
        """Set the stack's whole config anew; the API key as `pulumi config set --secret` does."""
        config = {f"{PROJECT}:{key}": value for key, value in settings.items()}
        if api_key is not None:
            config[API_KEY] = self._encrypted.get(api_key) or self._encrypt(api_key)
        self._config.write_text(yaml.safe_dump({**self._made_by_pulumi, "config": config}))

    def _encrypt(self, api_key: str) -> object:
        self._here("config", "set", "--secret", API_KEY, api_key, f"--stack={STACK}")
        self._encrypted[api_key] = yaml.safe_load(self._config.read_text())["config"][API_KEY]
        return self._encrypted[api_key]

    def run(self, operation: str, *options: str, **environment: str) -> Run:
        """Run an operation on the program, in the work tree, as a user does without a terminal."""
        common = (f"--stack={STACK}", f"--config-file={self._config}", "--non-interactive", "--color=never")
        done = subprocess.run(
            [str(self._programs / "pulumi"), operation, *common, *options],
            cwd=paths.REPOSITORY,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return Run(done.returncode, done.stdout)

    def resources(self) -> list[str]:
        """The URNs of what the state holds."""
        file = self.directory / "state" / ".pulumi" / "stacks" / PROJECT / f"{STACK}.json"
        latest = json.loads(file.read_text())["checkpoint"].get("latest") or {}
        return [resource["urn"] for resource in latest.get("resources") or []]

    def export(self) -> str:
        """The stack's state, as `pulumi stack export` prints it."""
        return self._here("stack", "export", f"--stack={STACK}")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secret ones too."""
        printed = self._here("stack", "output", "--json", "--show-secrets", f"--stack={STACK}")
        outputs: dict[str, Any] = json.loads(printed)
        return outputs

    def _here(self, *arguments: str) -> str:
        command = [str(self._programs / "pulumi"), *arguments, "--non-interactive", "--color=never"]
        done = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
