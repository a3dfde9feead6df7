"""The command behind `make verify STACK=…`: does each way into a running stack work, and if not, why?"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from console import ending, environment, pulumi_cli
from console.progress import step
from verify import gateways, mesh, orchestrator, server_keys
from verify.parts import TROUBLES, Part
from verify.stack import RunningStack, opened

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

ConfigFileOption = Annotated[Path | None, typer.Option(help="The settings, where they are not in Pulumi.NAME.yaml.")]


@app.command()
def verify(
    stack_name: Annotated[str, typer.Argument(metavar="STACK", help="The stack's name.")],
    *,
    config_file: ConfigFileOption = None,
) -> None:
    """Print each part, and whether it works. The exit status is 1 if one does not."""
    programs = pulumi_cli.find()
    variables = environment.callers() | pulumi_cli.environment(programs)
    works = True
    with opened(stack_name, programs, variables, config_file) as stack:
        for heading, parts in _groups(stack):
            with step(f"Look at {heading}"):
                found = list(parts)
            typer.echo(f"\n{heading}")
            for part in found:
                typer.echo(f"  {part.said}")
            works = works and not any(part.problem for part in found)
        if stack.settings.headscale:
            _tell_keys(stack)
    if not works:
        raise typer.Exit(1)


def _groups(stack: RunningStack) -> Iterator[tuple[str, Iterator[Part]]]:
    settings = stack.settings
    if settings.headscale:
        yield "the mesh", mesh.server_parts(stack, settings.headscale)
    if settings.access:
        yield "the way in by the mesh", mesh.key_service_parts(stack)
    for gateway in settings.gateways:
        yield f"the gateway {gateway.name}", gateways.parts(stack, gateway)
    if settings.orchestrator:
        yield "the orchestrator", orchestrator.parts(stack, settings.orchestrator)


def _tell_keys(stack: RunningStack) -> None:
    keys = {
        gateway.name: str(key)
        for gateway in stack.settings.gateways
        if (key := stack.outputs_of(gateway).get("server_public_key"))
    }
    with suppress(*TROUBLES), stack.connections.headscale() as headscale:  # why it does not answer is told above
        typer.echo("\n".join(["", *server_keys.report(server_keys.look(headscale), keys)]))


def main() -> None:
    """Run the command."""
    ending.run(app)
