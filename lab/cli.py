"""The lab's commands, behind the Makefile: up, status, preview, verify, down, logs, artifact, client."""

import subprocess
import sys
from typing import Annotated

import segno
import typer

from console import ending, environment, project
from console.errors import StepError
from console.progress import console, step
from lab import lifecycle, overview, paths
from lab.cluster import node
from lab.images import artifact as artifacts
from lab.mesh import june, june_app
from lab.network import wireguard_client as clients
from lab.processes import lock
from lab.pulumi import lab_review, pulumi_host
from lab.pulumi.stack import Stack
from lab.tools import debian_packages
from review.cli import Format, FormatOption, PolicyPackOption, ReplaceOption, show, split
from review.preview import Options

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def up(
    *, fresh: Annotated[bool, typer.Option(help="Start from a new cluster state, whatever ran before.")] = False
) -> None:
    """Set everything up, bring the cluster to life, run the stack, and show what there is."""
    lifecycle.require_root()
    with lock.hold():
        lifecycle.up(fresh=fresh)
    overview.show()


@app.command()
def status() -> None:
    """Show what the lab is made of, and how to use it."""
    lifecycle.require_root()
    overview.show()


@app.command()
def preview(
    stacks: Annotated[str | None, typer.Argument(help="For a review: names with commas in between.")] = None,
    *,
    format_: FormatOption = Format.TEXT,
    policy_pack: PolicyPackOption = None,
    replace: ReplaceOption = None,
) -> None:
    """Show what `pulumi up` would change in the lab as Pulumi prints it; with names, as a review."""
    lifecycle.require_root()
    if stacks:
        options = Options(policy_packs=tuple(policy_pack or ()), replace=tuple(replace or ()))
        show(split(stacks), lambda name: lab_review.review(name, options), format_)
        return
    _require_running()
    with lock.hold():
        stack = Stack(pulumi_host.find())
        with step("Run `pulumi preview` of the stack lab"):
            shown = stack.run("preview", "--diff")
    typer.echo(shown)


@app.command()
def verify() -> None:
    """Say of each way into the lab's stack whether it works."""
    lifecycle.require_root()
    _require_running()
    stack = Stack(pulumi_host.find())
    command = [sys.executable, "-m", "verify", project.LAB, f"--config-file={stack.config_file}"]
    ours = environment.clean() | stack.environment()
    raise typer.Exit(subprocess.run(command, cwd=project.REPOSITORY, env=ours, check=False).returncode)


@app.command()
def down(
    *, everything: Annotated[bool, typer.Option("--all", help="Remove the caches of built things too.")] = False
) -> None:
    """End the lab; no process, mount, namespace, rule or file of it stays."""
    lifecycle.require_root()
    with lock.hold():
        lifecycle.down(caches=everything)


@app.command()
def logs(name: Annotated[str | None, typer.Argument(help="A part, such as kubelet.")] = None) -> None:
    """Print the log of one part; without a name, the names."""
    known = {file.stem: file for file in sorted(paths.LOGS.glob("*.log"))}
    if name is None:
        typer.echo("\n".join(known))
        return
    if name not in known:
        raise StepError(f"The lab has no log {name!r}; there are {', '.join(known) or 'none'}.")
    with known[name].open(errors="replace") as log:
        for line in log:
            typer.echo(line, nl=False)


@app.command()
def artifact() -> None:
    """Make the gateway's artifact for hosts without containers, and print where it is."""
    lifecycle.require_root()
    debian_packages.ensure()
    typer.echo(artifacts.ensure())


@app.command()
def client(
    name: Annotated[str, typer.Argument(help="The device's name.")] = "my-phone",
    *,
    connect: Annotated[bool, typer.Option(help="Also bring it up in a network namespace of this machine.")] = False,
) -> None:
    """Register a device at the orchestrator and print its WireGuard config and QR code."""
    lifecycle.require_root()
    _require_running()
    config = clients.Config.from_registration(june_app.register(june.URL, name))
    text = config.wg_quick()
    typer.echo(text)
    segno.make(text).terminal(out=sys.stdout, compact=True)
    if connect:
        with lock.hold():
            host = clients.connect(name, config).host
        console.print(f"The device is up: ip netns exec {host.namespace} curl http://…", markup=False)


def main() -> None:
    """Run a command; one that is interrupted says how to go on."""
    environment.enter()
    ending.run(app, interrupted="Interrupted. `make up` goes on from here, `make down` ends the lab.")


def _require_running() -> None:
    if not node.running():
        raise StepError("The lab does not run; start it with `make up`.")
