"""What every command knows of the project: where it is, and what it is called in Pulumi."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
"""The work tree that the commands are part of."""

NAME = "meshgate"
"""The project's name in Pulumi.yaml; with a colon it stands before each setting in a stack file."""

LAB = "lab"
"""The stack of the embedded lab: its images are built on the machine, and all of it may be lost."""


def stack_file(stack: str) -> Path:
    """The settings of a stack, beside the program."""
    return REPOSITORY / f"Pulumi.{stack}.yaml"
