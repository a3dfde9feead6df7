"""Runs `pulumi preview` of an environment: with the user's own Pulumi, or the lab's where there is none."""

import os
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from console import lock
from console.errors import DeadlineError, StepError
from console.run import run
from lab import paths
from lab.pulumi import pulumi_host
from lab.pulumi.stack import LAB, Stack
from review import events
from review.report import Report, report

DEADLINE_SECONDS = 900
"""How long one preview may take."""

STOP_SECONDS = 30
"""How long one that is late or interrupted may take to end its plugins."""


def environments() -> list[str]:
    """The names of all stack files beside the program but the lab's."""
    files = paths.REPOSITORY.glob("Pulumi.*.yaml")
    return sorted({file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files} - {LAB})


@dataclass(frozen=True)
class Options:
    """How to look, besides at which environment."""

    config_file: Path | None = None
    """The settings, where they are not in Pulumi.NAME.yaml."""
    policy_packs: tuple[Path, ...] = ()
    replace: tuple[str, ...] = ()
    """URNs, or patterns of them, of what is to be made anew."""


def preview(environment: str, options: Options) -> Report:
    """What `pulumi up` would do to an environment, as things are in truth.

    The refresh runs the program too: so it asks Headscale and the cluster by the settings that are reviewed, not by
    those of the last `up`. The lab's stack is previewed with what the lab keeps for it.
    """
    programs = pulumi_host.find()
    search = (str(programs), str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))
    config_file = options.config_file
    variables = {"PATH": os.pathsep.join(search), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    if environment == LAB:
        stack = Stack(programs)
        if not stack.state_file.exists():
            raise StepError("The lab has no stack yet; `make up` makes it.")
        variables, config_file = stack.environment(), config_file or stack.config_file
    command = (
        *(str(programs / "pulumi"), "preview", f"--stack={environment}", "--refresh", "--run-program"),
        *("--json", "--non-interactive", "--color=never"),
        *([f"--config-file={config_file.resolve()}"] if config_file else []),
        *(f"--policy-pack={pack.resolve()}" for pack in options.policy_packs),
        *(f"--replace={urn}" for urn in options.replace),
    )
    with tempfile.TemporaryDirectory() as directory, lock.hold() if environment == LAB else nullcontext():
        log = Path(directory) / "preview.log"
        ended_well = True
        late: tuple[str, ...] = ()
        try:
            run(
                command,
                doing=f"preview {environment}",
                log=log,
                cwd=paths.REPOSITORY,
                env=variables | {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"},
                finish_seconds=STOP_SECONDS,
                deadline_seconds=DEADLINE_SECONDS,
            )
        except DeadlineError as error:
            ended_well, late = False, (error.sentence,)
        except StepError:  # what it printed says why
            ended_well = False
        told = events.read(log.read_text(errors="replace"))
        return report(environment, replace(told, errors=told.errors + late), ended_well=ended_well)
