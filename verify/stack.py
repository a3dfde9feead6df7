"""A stack as Pulumi knows it: its settings, its outputs, and how its cluster and its Headscale are reached."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console import project
from console.errors import StepError
from console.run import capture
from infra.resources.connections import Connections
from infra.settings.gateway import GatewaySettings
from infra.settings.loading import SettingsError, load
from infra.settings.stack import StackSettings


@dataclass(frozen=True)
class RunningStack:
    """A stack that `pulumi up` has made."""

    settings: StackSettings
    outputs: Mapping[str, Any]
    connections: Connections

    def outputs_of(self, gateway: GatewaySettings) -> Mapping[str, Any]:
        """A gateway's own outputs: a single one's are the stack's."""
        own: Mapping[str, Any] = self.outputs.get("gateways", {}).get(gateway.name, self.outputs)
        return own


@contextmanager
def opened(name: str, programs: Path, variables: Mapping[str, str], config_file: Path | None) -> Iterator[RunningStack]:
    """The stack, with connections for the time of the block; StepError if Pulumi does not know it."""

    def pulumi(*arguments: str) -> dict[str, Any]:
        command = [str(programs / "pulumi"), *arguments, "--json", f"--stack={name}", "--non-interactive"]
        doing = f"read the stack {name} (`pulumi {' '.join(arguments[:2])}`)"
        read: dict[str, Any] = json.loads(capture(command, doing=doing, cwd=project.REPOSITORY, base=variables))
        return read

    where = [f"--config-file={config_file.resolve()}"] if config_file else []
    config = pulumi("config", "--show-secrets", *where)
    prefix = f"{project.NAME}:"
    values = {key.removeprefix(prefix): value["value"] for key, value in config.items() if key.startswith(prefix)}
    outputs = pulumi("stack", "output")
    if not outputs:
        raise StepError(f"The stack {name} has no outputs: run `pulumi up --stack {name}` first.")
    try:
        settings = load(values.get, values)
    except SettingsError as error:
        raise StepError(str(error)) from error
    with Connections(lambda: settings) as connections:
        yield RunningStack(settings, outputs, connections)
