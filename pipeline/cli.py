"""The commands behind the workflows' steps and `make check-pipeline STACK=…`."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from console import ending, environment, pulumi_cli
from console.errors import StepError
from console.progress import console
from pipeline import github, needs, trial
from pipeline.login import Login
from pipeline.names import BACKEND, of_job
from pipeline.needs import Amiss
from pipeline.stack import Stack, read

RENEWAL_SECONDS = 120
"""A token lives for 300."""

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

StackArgument = Annotated[str, typer.Argument(metavar="STACK", help="The stack's name.")]


@app.command()
def run(
    stack_name: StackArgument,
    environment_name: Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="The job's GitHub environment.")],
    command: Annotated[list[str] | None, typer.Argument(help="What is run with the login; nothing: the trial.")] = None,
) -> None:
    """In a job: say what is amiss, log in, try everything, run a command. Its status is the exit status."""
    given = of_job(environment_name, os.environ)
    stack = read(stack_name)
    _tell(needs.amiss(given, stack))
    with tempfile.TemporaryDirectory() as directory:
        login = Login(given, dict(os.environ), Path(directory))
        _enter(login.environment())
        _try(stack, os.environ)
        if command:
            raise typer.Exit(_attended(command, login))


@app.command()
def check(stack_name: StackArgument) -> None:
    """From a laptop: say what is amiss in both GitHub environments of a stack, and try all with your own login."""
    stack = read(stack_name)
    givens = [github.given(name) for name in (stack_name, f"{stack_name}-preview")]
    _tell(found for given in givens for found in needs.amiss(given, stack))
    _try(stack, {**environment.callers(), BACKEND: givens[0].variables[BACKEND]})
    typer.echo(
        f"The GitHub environments {' and '.join(given.environment for given in givens)} hold what {stack_name} needs. "
        "The workflow Access tries it with the values of the secrets."
    )


def _tell(found: Iterable[Amiss]) -> None:
    """Print each sentence; end if one of them stops the run."""
    told = list(found)
    for one in told:
        console.print(f"{'✗' if one.stops else '•'} {one.sentence}", markup=False)
    if any(one.stops for one in told):
        raise typer.Exit(1)


def _try(stack: Stack, variables: Mapping[str, str]) -> None:
    programs = pulumi_cli.find()
    if problems := list(trial.problems(stack, programs, {**variables, **pulumi_cli.environment(programs)})):
        raise StepError("\n".join(problems))


def _enter(variables: Mapping[str, str]) -> None:
    """Make an environment this process' own: whatever a kubeconfig calls logs in by it too."""
    os.environ.clear()
    os.environ.update(variables)


def _attended(command: list[str], login: Login) -> int:
    """Run a command in a session of its own, with tokens that stay valid; an interrupt goes to all of it."""
    variables = {**os.environ, **pulumi_cli.environment(pulumi_cli.find())}
    with subprocess.Popen(command, env=variables, start_new_session=True) as process:
        while True:
            try:
                status = process.wait(RENEWAL_SECONDS)
            except subprocess.TimeoutExpired:
                _renew(login)
            except KeyboardInterrupt:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
            else:
                return status if status >= 0 else 128 - status


def _renew(login: Login) -> None:
    """A token that is not renewed now is renewed the next time: the one before is still valid then."""
    try:
        login.renew()
    except StepError as error:
        sys.stderr.write(f"{error}\n")


def main() -> None:
    """Run a command."""
    ending.run(app)
