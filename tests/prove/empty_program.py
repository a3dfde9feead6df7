"""A program with the same plugins and next to nothing to do: what any preview costs."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from lab import paths

_PROGRAM = """
import pulumi_kubernetes
from pulumi import ResourceOptions
from pulumi.dynamic import Resource
from pulumi_kubernetes.core.v1 import ConfigMap

from nothing import Nothing

class Empty(Resource, name="Empty"):
    pass

kubernetes = pulumi_kubernetes.Provider("kubernetes")
metadata = {"name": "meshgate-empty", "namespace": "default"}
ConfigMap("empty", metadata=metadata, opts=ResourceOptions(provider=kubernetes))
Empty(Nothing(), "empty", {})
"""
_PROVIDER = """
from pulumi.dynamic import CreateResult, DiffResult, ResourceProvider

class Nothing(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        return CreateResult("empty", props)

    def diff(self, _id, _olds, _news):
        return DiffResult(changes=False)
"""


@contextmanager
def empty_program(directory: Path, programs: Path, environment: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """What previews it without a change: as our program is run, with a stack that ends with the block."""
    runtime = yaml.safe_load((paths.REPOSITORY / "Pulumi.yaml").read_text())["runtime"]
    runtime["options"]["virtualenv"] = str(paths.REPOSITORY / runtime["options"]["virtualenv"])
    (directory / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "empty", "runtime": runtime}))
    (directory / "__main__.py").write_text(_PROGRAM)
    (directory / "nothing.py").write_text(_PROVIDER)
    variables = {**environment, "PULUMI_BACKEND_URL": f"file://{directory}", "PYTHONPATH": str(directory)}

    def run(*arguments: str) -> None:
        command = (str(programs / "pulumi"), *arguments, "--non-interactive", "--color=never", "--stack=empty")
        subprocess.run(command, cwd=directory, env=variables, check=True, capture_output=True)

    run("stack", "init")
    run("up", "--yes", "--skip-preview")
    try:
        yield lambda: run("preview", "--expect-no-changes")
    finally:
        run("destroy", "--yes", "--skip-preview")
