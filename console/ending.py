"""How a command ends: an error is its sentence, and so is Ctrl-C or SIGTERM."""

import sys
from collections.abc import Callable

from console import interrupts
from console.errors import StepError
from console.progress import console

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


def run(command: Callable[[], object], *, interrupted: str = "Interrupted.") -> None:
    """Run a command line; `interrupted` is what it says last when it is ended early."""
    interrupts.heed()
    try:
        command()
    except StepError as error:
        console.print(f"✗ {error}", style="red", markup=False)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            console.print(interrupted, markup=False)
        raise
