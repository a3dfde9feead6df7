"""Runs the shell steps of the workflows as they stand in their files, with stand-ins for what they call."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pipeline.names import SECRETS, VARIABLES

ROOT = Path(__file__).parents[3]
WORKFLOWS = ROOT / ".github" / "workflows"
GITHUB = {
    "github.token": "the token",
    "github.event.pull_request.number": "7",
    "github.event.pull_request.head.sha": "0123456789abcdef",
    "needs.environments.outputs.names": '["dev","prod"]',
    "matrix.environment": "prod",
    "matrix.for": "-preview",
    "inputs.environment": "",
    **{f"vars.{name}": "" for name in VARIABLES},
    **{f"secrets.{name}": "" for name in SECRETS},
    "vars.PULUMI_BACKEND_URL": "s3://state?region=eu-central-1",
    "secrets.PULUMI_CONFIG_PASSPHRASE": "the passphrase",
    "secrets.AWS_ACCESS_KEY_ID": "the key's name",
    "secrets.AWS_SECRET_ACCESS_KEY": "the key",
}
"""What the expressions in the steps' env are, unless a test says otherwise; there is no other way in for them."""
OF_MACHINES = """
encryptionsalt: v1:salt
config:
  meshgate:gateways:
  - {name: edge, target: metal, endpoint: "vpn.example.com:51820", client_networks: [10.78.0.0/16]}
"""
"""A stack without a cluster."""
PULUMI = """
echo "$@" >>pulumi.txt
case $1 in
version) echo v3.272.0 ;;
whoami | stack | config) echo "the state's secrets" ;;
*) %s ;;
esac
"""
"""Pulumi, as far as the trial of an environment asks it."""


def workflow(name: str) -> dict[str, Any]:
    """A workflow; its triggers are at "on", which YAML 1.1 reads as true."""
    document: dict[Any, Any] = yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())
    return {"on" if key is True else key: value for key, value in document.items()}


@dataclass
class Runner:
    """A machine of GitHub's: a work tree at `directory`, stand-ins first on PATH, and GitHub's own files."""

    directory: Path
    github: dict[str, str] = field(default_factory=lambda: dict(GITHUB))
    job: dict[str, str] = field(default_factory=dict)
    """What the job's permissions put into the environment of its steps."""

    def __post_init__(self) -> None:
        self.work, self._programs, self._temp = (self.directory / name for name in ("work", "programs", "temp"))
        for one in (self.work, self._programs, self._temp):
            one.mkdir()
        shutil.copytree(ROOT / ".github", self.work / ".github")
        self.ordered("dev", "prod")
        self.pulumi("exit 1")
        self.program("pulumi-language-python", "exit 1")
        self.write_github({"token": "the token", "comments": [], "issues": [], "calls": []})
        stand_in = Path(__file__).with_name("gh_stand_in.py")
        self.program("gh", f'exec {shlex.quote(sys.executable)} {shlex.quote(str(stand_in))} "$@"')

    def program(self, name: str, script: str) -> None:
        """Put a stand-in on PATH."""
        file = self._programs / name
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o755)

    def pulumi(self, script: str) -> None:
        """Put a Pulumi on PATH whose `up` or `preview` is this script."""
        self.program("pulumi", PULUMI % script)

    def stack(self, text: str = OF_MACHINES, name: str = "prod") -> None:
        """Let the work tree have a stack, and the program that reads it."""
        (self.work / f"Pulumi.{name}.yaml").write_text(text)
        for package in ("console", "gateway", "infra", "pipeline"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, self.work / package, ignore=ignored, dirs_exist_ok=True)

    def ordered(self, *lines: str) -> None:
        """Make this the order of promotion."""
        (self.work / ".github" / "promotion").write_text("".join(f"{line}\n" for line in lines))

    def run(self, name: str, job: str, step: str) -> subprocess.CompletedProcess[str]:
        """Run the named shell step, as GitHub would: what the job's expressions hold comes by its env alone."""
        (found,) = (one for one in workflow(name)["jobs"][job]["steps"] if one.get("name") == step)
        given = {key: self._expanded(str(value)) for key, value in found.get("env", {}).items()}
        github = {
            "GITHUB_OUTPUT": str(self._temp / "output"),
            "GITHUB_STEP_SUMMARY": str(self._temp / "summary"),
            "GITHUB_REPOSITORY": "acme/mesh",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_RUN_ID": "42",
            "RUNNER_TEMP": str(self._temp),
            "GH_STAND_IN": str(self.directory / "github.json"),
            **self.job,
        }
        path = os.pathsep.join((str(self._programs), str(Path(sys.executable).parent), "/usr/bin", "/bin"))
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]],
            cwd=self.work,
            env={"PATH": path, "HOME": str(self.directory), **github, **given},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def _expanded(self, text: str) -> str:
        return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda found: self.github[found[1]], text)

    @property
    def output(self) -> str:
        """What steps gave to later ones."""
        return (self._temp / "output").read_text()

    @property
    def summary(self) -> str:
        """What a reader of the run sees."""
        return (self._temp / "summary").read_text()

    def write_github(self, world: dict[str, Any]) -> None:
        """Make GitHub so."""
        (self.directory / "github.json").write_text(json.dumps(world))

    def read_github(self) -> dict[str, Any]:
        """What is at GitHub now, and the changes that were asked for."""
        world: dict[str, Any] = json.loads((self.directory / "github.json").read_text())
        return world
