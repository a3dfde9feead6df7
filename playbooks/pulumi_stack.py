"""A Meshgate stack as the command `pulumi` tells of it: its gateways on bare metal, and its config.

It reads as its user could, and refuses a stack that is just being changed.
"""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from gateway.headscale.redaction import excerpt
from infra.resources.connections import Connections, settings_by

TIMEOUT = 120
SLACK = timedelta(seconds=5)
"""A run writes its state once more after the moment, in whole seconds, that it notes as its end."""

Pulumi = Callable[[Sequence[str], Path], "subprocess.CompletedProcess[str]"]
"""Runs `pulumi` with arguments in a directory."""


class StackError(Exception):
    """Why the stack cannot be read: one sentence for the user, without a secret."""


def pulumi(arguments: Sequence[str], directory: Path) -> "subprocess.CompletedProcess[str]":
    """Run the command; PULUMI_* and KUBECONFIG are those of the environment."""
    command = ["pulumi", *arguments, "--non-interactive", "--color=never"]
    environment = {"PULUMI_SKIP_UPDATE_CHECK": "true", **os.environ}
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


class Stack:
    """A stack of the project in `directory`, read by `run`; every method raises StackError."""

    def __init__(self, name: str, directory: Path, run: Pulumi = pulumi) -> None:
        self._name = name
        self._directory = directory
        self._run = run

    def gateways(self) -> dict[str, dict[str, Any]]:
        """The output `metal`: what the program hands over of each gateway (infra/targets/machine.py)."""
        self._refuse_unsettled()
        try:
            found = self._read("stack", "output", "metal", "--json", "--show-secrets", *self._stack)
        except StackError as error:
            if "does not have output property" not in str(error):
                raise
            found = {}
        if not found:
            raise StackError(
                f"Stack {self._name} has no gateway on bare metal; set `target: metal` for one of its gateways and run "
                "`pulumi up`"
            )
        return dict(found)

    def connections(self) -> Connections:
        """The way to Headscale's API key, by the stack's config."""
        config = self._read("config", "--json", "--show-secrets", *self._stack)
        prefix = f"{self._project()}:"
        if f"{prefix}gateways" not in config:
            raise StackError(
                f"{self._directory} has no config of stack {self._name} (Pulumi.{_short(self._name)}.yaml); set "
                "`project_dir` to where it is"
            )
        values = {key.removeprefix(prefix): entry.get("value") for key, entry in config.items()}
        return Connections(settings_by(values.get))

    @property
    def _stack(self) -> tuple[str, str]:
        return ("--stack", self._name)

    def _refuse_unsettled(self) -> None:
        """Refuse a stack that is not there, and one that is just being changed."""
        project = self._project()
        stacks = {one["name"]: one for one in self._read("stack", "ls", "--json")}
        found = next((one for name, one in stacks.items() if _short(name) == _short(self._name)), None)
        if found is None:
            there = f"there are {', '.join(sorted(stacks))}" if stacks else "it has none yet"
            raise StackError(f"Project {project} has no stack {self._name}: {there}; set `stack` to one that is there")
        if found.get("updateInProgress") or self._locked(project):
            raise StackError(
                f"Stack {self._name} is locked: it is being updated right now; run this again when that has ended, or "
                f"`pulumi cancel --stack {self._name}` first if that run was killed"
            )
        if self._unfinished(found):
            raise StackError(
                f"Stack {self._name} is half changed: its state is newer than its last run's end, so a run goes on "
                "right now or was killed; run this again when it has ended, or `pulumi up` first if it was killed"
            )

    def _locked(self, project: str) -> bool:
        """Whether a run holds the lock of a stack that is kept in files; Pulumi Cloud tells by `stack ls`."""
        url = urlsplit(self._read("whoami", "--verbose", "--json")["url"])
        if url.scheme != "file":
            return False
        backend = self._directory / Path(unquote(url.netloc + url.path)).expanduser()
        locks = backend / ".pulumi" / "locks" / "organization" / project / _short(self._name)
        return any(locks.glob("*.json"))

    def _unfinished(self, found: dict[str, Any]) -> bool:
        """Whether a run that has not ended has written the state: of a bucket's locks no command of Pulumi's tells.

        One that has written nothing yet cannot be seen; the outputs are as they were then.
        """
        if "updateInProgress" in found or not found.get("lastUpdate"):
            return False
        runs = self._read("stack", "history", "--json", "--page-size=1", *self._stack)
        if not runs or not runs[0].get("endTime"):
            return bool(runs)
        ended, written = map(datetime.fromisoformat, (runs[0]["endTime"], found["lastUpdate"]))
        return written > ended + SLACK

    def _project(self) -> str:
        try:
            return str(yaml.safe_load((self._directory / "Pulumi.yaml").read_text())["name"])
        except (OSError, yaml.YAMLError, LookupError, TypeError, ValueError) as error:
            raise StackError(
                f"{self._directory} has no Pulumi.yaml with a project's name in it; set `project_dir` to where it is"
            ) from error

    def _read(self, *arguments: str) -> Any:  # noqa: ANN401 (JSON)
        """The JSON that `pulumi` prints."""
        command = " ".join(("pulumi", *arguments[:2])).removesuffix(" --json").removesuffix(" --verbose")
        try:
            done = self._run(arguments, self._directory)
        except FileNotFoundError as error:
            raise StackError(
                "The command pulumi is not on PATH; install it (https://www.pulumi.com/docs/install/) or put it there"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise StackError(f"`{command}` did not end within {TIMEOUT} s; see whether its backend answers") from error
        if done.returncode:
            raise StackError(_reason(command, done.stderr))
        try:
            return json.loads(done.stdout)
        except ValueError as error:  # what it printed may be secret
            raise StackError(f"`{command}` printed no JSON; see that the pulumi on PATH is Pulumi's") from error


def _short(stack: str) -> str:
    """The stack's name without organization and project."""
    return stack.rpartition("/")[2]


def _reason(command: str, errors: str) -> str:
    if "passphrase" in errors:
        what = "is wrong" if "incorrect passphrase" in errors else "is missing"
        return (
            f"The stack's passphrase {what}; set PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE to the one "
            "that the stack was made with"
        )
    return f"`{command}` failed: {excerpt(errors.removeprefix('error: '))}"
