"""The commands behind `make new-env` and `make reference`."""

import signal
import sys
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from console.errors import StepError
from console.progress import console, step
from environments import answers, project_file, reference
from environments.answers import AnswerError, Values
from environments.checks import Checks, check_all
from environments.engine import Environment
from environments.questions import Interview
from infra.settings.value_types import Name
from lab import paths
from lab.pulumi import pulumi_host

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


class Person:
    """Whoever sits at the terminal."""

    def ask(self, question: str, default: str, *, hidden: bool = False) -> str:
        """Ask on standard error; what is hidden is not echoed."""
        prompt = f"{question}{f' [{default}]' if default else ''}: "
        try:
            # getpass ends the echo before it prompts: what is pasted at once is not shown either.
            answer = getpass(prompt) if hidden else console.input(prompt, markup=False)
        except EOFError:
            raise AnswerError("The answers ended before the questions; nothing was written.") from None
        return answer.strip() or default

    def tell(self, sentence: str) -> None:
        """Print it."""
        console.print(sentence, style="yellow", markup=False)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="The environment's name, such as staging.")],
    *,
    file: Annotated[
        Path | None, typer.Option("--answers", help="A YAML file with the settings, or - for standard input.")
    ] = None,
) -> None:
    """Make an environment: ask, check each answer, write Pulumi.NAME.yaml, make the stack, preview it."""
    environment = Environment(_checked(name), pulumi_host.find())
    environment.require_secrets_provider()
    exists, written = environment.stack_exists(), environment.written()
    if exists:
        raise AnswerError(_exists(environment, written=written))
    if not written:
        checks = Checks(name)
        values = _answered(checks, file)
        with step(f"Write {environment.file.name}"):
            environment.write(answers.whole(values))
    environment.init_stack()
    typer.echo(f"The environment {name} is in {environment.file.name}, for you to commit. It would make:", err=True)
    if not environment.preview():
        raise AnswerError(
            f"{environment.file.name} is written, but what the preview says is still to be put right; "
            f"then `pulumi preview --stack {name}`."
        )
    typer.echo(f"`pulumi up --stack {name}` makes it.", err=True)


@app.command("reference")
def write_reference() -> None:
    """Write docs/reference.md and Pulumi.yaml's config from the settings, and from the agent's OpenAPI."""
    (paths.REPOSITORY / "docs" / "reference.md").write_text(reference.page())
    project = paths.REPOSITORY / "Pulumi.yaml"
    project.write_text(project_file.written(project.read_text()))


def main() -> None:
    """Run a command; an error is its sentence, and Ctrl-C (or SIGTERM) leaves nothing half-made."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app()
    except (AnswerError, StepError) as error:
        console.print(f"✗ {error}", style="red", markup=False)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            console.print("Interrupted. Nothing is half-made; the same command goes on or starts anew.")
        raise


def _checked(name: str) -> str:
    try:
        return TypeAdapter[str](Name).validate_python(name)
    except ValidationError as error:
        raise AnswerError(f"NAME: {error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None


def _exists(environment: Environment, *, written: bool) -> str:
    name, file = environment.name, environment.file.name
    if written:
        return (
            f"The environment {name} exists and is not overwritten: change {file} or use `pulumi config set`, "
            f"and `pulumi preview --stack {name}` shows what that does."
        )
    return (
        f"The backend has a stack {name} already, but {file} is not here: get it from whoever made the environment, "
        "or take another name."
    )


def _answered(checks: Checks, file: Path | None) -> Values:
    """Answers that have passed every rule and every check."""
    if file is None:
        return Interview(Person(), checks).run()
    values = answers.read(file)
    settings = answers.whole(values)
    with step("Hold the answers against the cluster and Headscale"):
        check_all(checks, values, settings)
        values = answers.with_networks(values, checks.networks(settings.cluster.context))
    answers.whole(values)
    return values
