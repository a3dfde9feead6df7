"""Runs `pulumi preview` of an environment, and makes the report of what it tells."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from console import project
from console.errors import DeadlineError, StepError
from console.run import run
from review import events, own_rules
from review.verdict import Report, report

DEADLINE_SECONDS = 900
"""How long one preview may take."""

STOP_SECONDS = 30
"""How long one that is late or interrupted may take to end its plugins."""


def environments() -> list[str]:
    """The names of all stack files beside the program but the lab's."""
    files = project.REPOSITORY.glob("Pulumi.*.yaml")
    return sorted({file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files} - {project.LAB})


@dataclass(frozen=True)
class Options:
    """How to look at an environment."""

    config_file: Path | None = None
    """The file with the settings, if it is not Pulumi.NAME.yaml."""
    policy_packs: tuple[Path, ...] = ()
    """Rules that it is held to. The engine starts packs; Meshgate's own are asked here."""
    replace: tuple[str, ...] = ()
    """What is to be made anew: URNs, or patterns of them."""


def preview(environment: str, programs: Path, variables: Mapping[str, str], options: Options) -> Report:
    """What `pulumi up` would do to an environment as it is found.

    `programs` is the directory with Pulumi's, `variables` are its environment. The refresh runs the program too: it
    asks Headscale and the cluster by the reviewed settings, not by those of the last `up`.
    """
    packs = {pack.resolve() for pack in options.policy_packs}
    command = (
        *(str(programs / "pulumi"), "preview", f"--stack={environment}", "--refresh", "--run-program"),
        *("--json", "--non-interactive", "--color=never"),
        *([f"--config-file={options.config_file.resolve()}"] if options.config_file else []),
        *(f"--policy-pack={pack}" for pack in sorted(packs - {own_rules.PACK})),
        *(f"--replace={urn}" for urn in options.replace),
    )
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "preview.log"
        ended_well = True
        late: tuple[str, ...] = ()
        try:
            run(
                command,
                doing=f"preview {environment}",
                log=log,
                cwd=project.REPOSITORY,
                base=variables,
                env={"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true"},
                finish_seconds=STOP_SECONDS,
                deadline_seconds=DEADLINE_SECONDS,
            )
        except DeadlineError as error:
            ended_well, late = False, (error.sentence,)
        except StepError:  # what it printed says why
            ended_well = False
        told = events.read(log.read_text(errors="replace"))
        broken = own_rules.broken(environment, told) if own_rules.PACK in packs else ()
        told = replace(told, errors=told.errors + late, broken=told.broken + broken)
        return report(environment, told, ended_well=ended_well)
