"""The command behind `make preview STACK=… FORMAT=…`: what `pulumi up` would do to one environment or several."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from console import interrupts
from console.errors import StepError
from console.progress import console, step
from review import markdown, pulumi, text, wording
from review.pulumi import Options
from review.report import Report
from review.values import printable

ALL = "all"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Format(StrEnum):
    """Of what is printed."""

    TEXT = "text"
    MARKDOWN = "markdown"


@app.command()
def review(
    stacks: Annotated[str, typer.Argument(help="Names with commas in between, or all: every Pulumi.NAME.yaml's.")],
    *,
    format_: Annotated[Format, typer.Option("--format", help="Of what is printed.")] = Format.TEXT,
    config_file: Annotated[
        Path | None, typer.Option(help="The settings, where they are not in Pulumi.NAME.yaml.")
    ] = None,
    policy_pack: Annotated[list[Path] | None, typer.Option(help="Rules to hold it to; may be repeated.")] = None,
    replace: Annotated[list[str] | None, typer.Option(help="As of `pulumi up`: what to make anew, by URN.")] = None,
) -> None:
    """Print the review. The exit status is 1 when there is an environment whose preview failed, else 0."""
    names = pulumi.environments() if stacks == ALL else [name for name in stacks.split(",") if name]
    if not names:
        raise StepError("There is no environment: no Pulumi.NAME.yaml but the lab's. `make new-env` makes one.")
    if config_file and len(names) > 1:
        raise StepError(f"--config-file is of one environment, and here are {len(names)}: {', '.join(names)}.")
    options = Options(config_file, tuple(policy_pack or ()), tuple(replace or ()))
    reports = [_review(name, options) for name in names]
    typer.echo(markdown.comment(reports) if format_ is Format.MARKDOWN else text.text(reports), nl=False)
    if any(report.failed for report in reports):
        raise typer.Exit(1)


def _review(name: str, options: Options) -> Report:
    with step(f"Preview {name}") as current:
        report = pulumi.preview(name, options)
        current.now(wording.verdict(report, printable))
    return report


def main() -> None:
    """Run the command; an error is its sentence."""
    interrupts.heed()
    try:
        app()
    except StepError as error:
        console.print(f"✗ {error}", style="red", markup=False)
        sys.exit(1)
