"""One line per step on stderr: what is done and why, and how long it took.

On a terminal a running step shows a spinner and its elapsed seconds; elsewhere (a log, CI) the
line's first half appears when the step starts, its second half when the step ends.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""Where people read what the lab does; stdout is kept for results."""


@dataclass
class Step:
    """A running step."""

    text: str
    note: str = ""
    _live: tuple[Progress, TaskID] | None = None

    def now(self, note: str) -> None:
        """Say what the step is waiting for, or what it found; shown behind its text."""
        self.note = note
        if self._live:
            progress, task = self._live
            progress.update(task, description=self.line)

    @property
    def line(self) -> str:
        """The step's text with its latest note."""
        return f"{self.text}: {self.note}" if self.note else self.text


@contextmanager
def step(text: str, expected_seconds: int | None = None) -> Iterator[Step]:
    """Show the block as one step, `text` in the imperative ("Build headscale …").

    A step that is known to be long says so with `expected_seconds`. The line ends in ✓ and the
    seconds that the block took, or in ✗ when it raised; the exception goes on to the caller.
    """
    current = Step(f"{text} (about {expected_seconds} s)" if expected_seconds else text)
    started = time.monotonic()
    try:
        with _running(current):
            yield current
    except BaseException:
        _end(current, "[red]✗[/red]", started)
        raise
    _end(current, "[green]✓[/green]", started)


@contextmanager
def _running(current: Step) -> Iterator[None]:
    """Keep the line alive on a terminal; write its first half elsewhere."""
    if not console.is_terminal:
        console.print(f"• {current.text} …", end=" ", markup=False)
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        current._live = (progress, progress.add_task(current.line, total=None))
        yield


def _end(current: Step, mark: str, started: float) -> None:
    """Write the finished line, or its second half where the first stands already."""
    seconds = f"{time.monotonic() - started:.1f} s"
    outcome = Text.from_markup(f"{mark} ")
    if console.is_terminal:
        outcome.append(f"{current.line}  ").append(seconds, style="dim")
    else:
        outcome.append(f"{current.note}, {seconds}" if current.note else seconds)
    console.print(outcome)
