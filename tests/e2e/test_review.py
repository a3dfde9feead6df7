"""`make preview STACK=… FORMAT=…` of the lab: the same comment as of any environment."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import paths
from lab.cluster import kube
from lab.pulumi.stack import Stack
from tests.e2e import lab_world, life

pytestmark = pytest.mark.timeout(300)

MAKE_FAILED = 2
TOP = "<!-- meshgate-review -->\n<!-- verdicts: lab=%s -->\n## What `pulumi up` would do\n\n### `lab`: "


def preview(*variables: str, code: int = 0) -> str:
    done = subprocess.run(
        ["make", "preview", *variables], cwd=paths.REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Preview lab" in done.stderr
    return done.stdout


@pytest.fixture
def put_right(stack: Stack) -> Iterator[None]:
    """Whatever the test did by hand."""
    yield
    stack.run("up", "--yes", "--skip-preview", "--refresh")
    life.assert_settled(stack)


def test_nothing_would_change(stack: Stack) -> None:
    comment = preview("STACK=lab", "FORMAT=markdown")
    assert comment.startswith(TOP % "unchanged" + "no changes\n")
    assert "<details>" not in comment
    assert preview("STACK=lab").startswith("lab: no changes\n")


def test_one_environment_that_fails_hides_no_other(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path}")  # a user's; the lab has its own
    comment = preview("STACK=nowhere,lab", "FORMAT=markdown", code=MAKE_FAILED)
    assert "<!-- verdicts: nowhere=failed lab=unchanged -->" in comment
    assert "### `nowhere`: FAILED\n\n```text\nno stack named 'nowhere' found\n```\n" in comment
    assert "### `lab`: no changes\n" in comment


@pytest.mark.usefixtures("put_right")
def test_what_was_deleted_in_the_cluster_by_hand() -> None:
    kube.kubectl("delete", "networkpolicy", "-n", lab_world.NAMESPACE, lab_world.GATEWAY)
    comment = preview("STACK=lab", "FORMAT=markdown")
    assert comment.startswith(TOP % "changes" + "1 change, to put right what was changed by hand\n\n1 created, ")
    assert "**creates** `NetworkPolicy` `lab-policy`, which somebody deleted\n" in comment
