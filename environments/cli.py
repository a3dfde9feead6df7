"""The commands behind `make new-env` and `make reference`."""

from collections.abc import Sequence
from getpass import getpass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from console import ending, project, pulumi_cli
from console.progress import console, step
from environments import answers, project_file, reference, required
from environments.answers import AnswerError, Values
from environments.checks import Checks, check_all
from environments.engine import Environment
from environments.questions import Interview
from infra.settings.value_types import Name

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
    environment = Environment(_checked(name), pulumi_cli.find())
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
    broken = environment.preview()
    if broken is None:
        raise AnswerError(
            f"{environment.file.name} is written, but what the preview says is still to be put right; "
            f"then `pulumi preview --stack {name}`."
        )
    if broken:
        raise AnswerError(_refused(environment, broken))
    typer.echo(f"`pulumi up --stack {name}` makes it.", err=True)


@app.command("reference")
def write_reference() -> None:
    """Write docs/reference.md and Pulumi.yaml's config from the settings, and from the agent's OpenAPI."""
    (project.REPOSITORY / "docs" / "reference.md").write_text(reference.page())
    file = project.REPOSITORY / "Pulumi.yaml"
    file.write_text(project_file.written(file.read_text()))


def main() -> None:
    """Run a command; one that is interrupted leaves nothing half-made."""
    ending.run(app, interrupted="Interrupted. Nothing is half-made; the same command goes on or starts anew.")


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


def _refused(environment: Environment, broken: Sequence[str]) -> str:
    lines = "\n".join(f"    {line}" for line in broken)
    return (
        f"{environment.file.name} is written, but a deployment would refuse it by these rules (docs/policies.md):\n"
        f"{lines}\n"
        f"Put them right, then `make preview STACK={environment.name} POLICY_PACK=policy`."
    )


def _answered(checks: Checks, file: Path | None) -> Values:
    """Answers that have passed every rule and every check."""
    if file is None:
        return Interview(Person(), checks).run()
    values = answers.read(file)
    settings = answers.whole(values)
    required.refuse_missing(settings)
    with step("Hold the answers against the cluster and Headscale"):
        check_all(checks, values, settings)
        values = answers.with_networks(values, checks.networks(settings.cluster.context))
    answers.whole(values)
    return values
