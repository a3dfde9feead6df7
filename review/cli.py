"""The command behind `make preview STACK=… FORMAT=…`: what `pulumi up` would do to one environment or several."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from console import ending, environment, pulumi_cli
from console.errors import StepError
from console.progress import step
from review import markdown, preview, text, wording
from review.preview import Options
from review.values import printable
from review.verdict import Report

ALL = "all"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Format(StrEnum):
    """The form of what is printed."""

    TEXT = "text"
    MARKDOWN = "markdown"


FormatOption = Annotated[Format, typer.Option("--format", help="The form of what is printed.")]
ConfigFileOption = Annotated[Path | None, typer.Option(help="The settings, where they are not in Pulumi.NAME.yaml.")]
PolicyPackOption = Annotated[list[Path] | None, typer.Option(help="Rules to hold it to; may be repeated.")]
ReplaceOption = Annotated[list[str] | None, typer.Option(help="What to make anew, by URN, as for `pulumi up`.")]


@app.command()
def review(
    stacks: Annotated[str, typer.Argument(help="Names with commas in between, or all: every Pulumi.NAME.yaml's.")],
    *,
    format_: FormatOption = Format.TEXT,
    config_file: ConfigFileOption = None,
    policy_pack: PolicyPackOption = None,
    replace: ReplaceOption = None,
) -> None:
    """Print the review. The exit status is 1 when the preview of an environment failed, else 0."""
    names = preview.environments() if stacks == ALL else split(stacks)
    if not names:
        raise StepError("There is no environment: no Pulumi.NAME.yaml but the lab's. `make new-env` makes one.")
    if config_file and len(names) > 1:
        raise StepError(f"--config-file is of one environment, and here are {len(names)}: {', '.join(names)}.")
    options = Options(config_file, tuple(policy_pack or ()), tuple(replace or ()))
    programs = pulumi_cli.find()
    variables = environment.callers() | pulumi_cli.environment(programs)
    show(names, lambda name: preview.preview(name, programs, variables, options), format_)


def split(stacks: str) -> list[str]:
    """The names in a list with commas."""
    return [name for name in stacks.split(",") if name]


def show(names: Sequence[str], review_of: Callable[[str], Report], format_: Format) -> None:
    """Make the reviews one after the other, and print them together."""
    reports = [_told(name, review_of) for name in names]
    typer.echo(markdown.comment(reports) if format_ is Format.MARKDOWN else text.text(reports), nl=False)
    if any(report.failed for report in reports):
        raise typer.Exit(1)


def _told(name: str, review_of: Callable[[str], Report]) -> Report:
    with step(f"Preview {name}") as current:
        report = review_of(name)
        current.now(wording.verdict(report, printable))
    return report


def main() -> None:
    """Run the command."""
    ending.run(app)
