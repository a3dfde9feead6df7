"""A stack that is just being changed is no inventory: a real run of Pulumi, with state in a directory and a bucket."""

import subprocess
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from playbooks import pulumi_stack
from playbooks.pulumi_stack import Stack, StackError
from tests.contract.test_state_s3 import STACK, Project, Server, server
from tests.deadlines import wait_for

__all__ = ["server"]

pytestmark = pytest.mark.timeout(900)  # the first run on a machine builds Pulumi and the server

PROGRAM = """
import os, time
import pulumi
from infra.resources.token import Token

def ended(_):
    while not os.path.exists(os.environ["MAY_END"]):
        time.sleep(0.05)

first, more = Token("first"), [Token(name) for name in os.environ.get("MORE", "").split()]
done = pulumi.Output.all(first.value, *(token.value for token in more)).apply(ended)
pulumi.export("metal", {"edge": {"host": "192.0.2.7", "done": done}})
"""


@pytest.fixture(params=["directory", "bucket"])
def project(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, server)
    (tmp_path / "__main__.py").write_text(PROGRAM)
    if request.param == "directory":
        project.environment["PULUMI_BACKEND_URL"] = f"file://{tmp_path}"
    project.succeeds("stack", "init", STACK)
    yield project
    project.may_end.touch()
    project.run("cancel", "--yes", f"--stack={STACK}")
    project.run("stack", "rm", "--yes", "--force", f"--stack={STACK}")


def stack(project: Project) -> Stack:
    def run(arguments: Sequence[str], directory: Path) -> "subprocess.CompletedProcess[str]":
        command = ["pulumi", *arguments, "--non-interactive", "--color=never"]
        return subprocess.run(
            command, cwd=directory, env=project.environment, capture_output=True, text=True, check=False, timeout=100
        )

    return Stack(STACK, project.directory, run)


def refusal(project: Project) -> str:
    """Why it is no inventory; nothing if it is."""
    try:
        assert stack(project).gateways()["edge"]["host"] == "192.0.2.7"
    except StackError as error:
        return str(error)
    return ""


def test_a_run_is_seen_while_it_goes_on_and_after_it_was_killed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_stack, "SLACK", timedelta(seconds=1))
    project.may_end.touch()
    project.succeeds("up", "--yes", "--skip-preview")
    assert refusal(project) == ""

    project.may_end.unlink()
    project.environment["MORE"] = "second"
    in_files = project.environment["PULUMI_BACKEND_URL"].startswith("file:")
    with project.start("up", "--yes", "--skip-preview") as run:
        wait_for(lambda: refusal(project), "a refusal", within=60)
        assert refusal(project).startswith(f"Stack {STACK} is {'locked' if in_files else 'half changed'}: ")
        wait_for(lambda: "::second" in project.succeeds("stack", "export"), "its state", within=60)
        run.kill()
    project.succeeds("cancel", "--yes", STACK)
    assert refusal(project).startswith(f"Stack {STACK} is half changed: ")

    project.may_end.touch()
    project.succeeds("up", "--yes", "--skip-preview")
    assert refusal(project) == ""
