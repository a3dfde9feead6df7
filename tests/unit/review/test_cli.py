"""The command: which environments, what is printed, how it ends. No Pulumi runs here."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from console import environment, project, pulumi_cli
from console.errors import StepError
from review import cli, preview
from review.preview import Options
from review.report import Report, Verdict

FAILED = Report("bad", Verdict.FAILED, errors=("It is wrong.",))


@pytest.fixture(autouse=True)
def previewed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Options]]:
    """The previews that were asked for; that of `bad` fails."""
    calls = []

    def made(name: str, programs: Path, variables: dict[str, str], options: Options) -> Report:
        assert variables == environment.callers() | pulumi_cli.environment(programs)
        calls.append((name, options))
        return FAILED if name == "bad" else Report(name, Verdict.UNCHANGED)

    monkeypatch.setattr(preview, "preview", made)
    monkeypatch.setattr(pulumi_cli, "find", lambda: Path("/opt/pulumi"))
    return calls


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, arguments)
    if isinstance(result.exception, StepError):
        raise result.exception
    return result.exit_code, result.stdout


def test_one_environment_is_printed_as_text() -> None:
    assert run("dev") == (0, "dev: no changes\n  0 unchanged\n")


def test_several_are_one_comment_and_one_that_failed_decides_the_exit_status() -> None:
    code, printed = run("dev,bad,prod", "--format=markdown")
    assert code == 1
    assert printed.count("<!-- meshgate-review -->") == 1
    headings = ["### `dev`: no changes", "### `bad`: FAILED", "### `prod`: no changes"]
    assert [line for line in printed.splitlines() if line.startswith("### ")] == headings


def test_settings_rules_and_what_is_to_be_made_anew_are_handed_on(previewed: list[object]) -> None:
    run("dev", "--config-file=dev.yaml", "--policy-pack=a", "--policy-pack=b", "--replace=**::one-key")
    assert previewed == [("dev", Options(Path("dev.yaml"), (Path("a"), Path("b")), ("**::one-key",)))]
    with pytest.raises(StepError, match="and here are 2: dev, prod"):
        run("dev,prod", "--config-file=dev.yaml")


def test_all_are_those_with_a_stack_file_but_the_labs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(project, "REPOSITORY", tmp_path)
    for name in ("Pulumi.yaml", "Pulumi.lab.yaml"):
        (tmp_path / name).touch()
    with pytest.raises(StepError, match="There is no environment"):
        run("all")
    for name in ("Pulumi.prod.yaml", "Pulumi.dev-2.yaml", "Pulumi.eu.west.yaml"):
        (tmp_path / name).touch()
    _, printed = run("all")
    assert [line.split(":")[0] for line in printed.splitlines() if not line.startswith(" ")] == [
        "dev-2",
        "",
        "eu.west",
        "",
        "prod",
    ]
