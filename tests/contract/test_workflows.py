"""The workflows as GitHub reads them: syntax, expressions, contexts, by actionlint."""

import subprocess

import pytest

from lab import paths
from lab.tools import go_builds, pinned_tools

pytestmark = pytest.mark.timeout(300)  # the first run on a machine builds actionlint

WORKFLOWS = paths.REPOSITORY / ".github" / "workflows"


def lint(*files: object) -> subprocess.CompletedProcess[str]:
    command = [
        str(go_builds.resolve(pinned_tools.ACTIONLINT)),
        "-no-color",
        "-oneline",
        "-shellcheck=",
        "-pyflakes=",
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_actionlint_finds_nothing() -> None:
    done = lint(*sorted(WORKFLOWS.glob("*.yml")))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_would_find_something(tmp_path_factory: pytest.TempPathFactory) -> None:
    broken = tmp_path_factory.mktemp("workflows") / "broken.yml"
    broken.write_text((WORKFLOWS / "deploy.yml").read_text().replace("matrix.environment", "matrix.enviroment"))
    done = lint(broken)
    assert done.returncode == 1
    assert 'property "enviroment" is not defined' in done.stdout
