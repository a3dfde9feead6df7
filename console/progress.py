"""One line per step on stderr: what is done and why, and how long it took.

On a terminal a running step shows a spinner and its elapsed seconds. Elsewhere (a log, CI) every
line is whole, so nothing lands in the middle of one: a step that takes long says now and then
what it is at, and each ends with its line.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

console = Console(stderr=True, highlight=False, soft_wrap=True)
"""People read here what is done; stdout is kept for results."""

FIRST_WORD, NEXT_WORD = 5.0, 30.0
"""Seconds until a step without a terminal says that it is still at work, then says so again."""


@dataclass
class Step:
    """A running step."""

    text: str
    expected_seconds: int | None = None
    note: str = ""
    _live: tuple[Progress, TaskID] | None = None

    def now(self, note: str) -> None:
        """Say what the step is waiting for, or what it found; shown behind its text."""
        self.note = note
        if self._live:
            progress, task = self._live
            progress.update(task, description=self.running)

    @property
    def running(self) -> str:
        """The line of a step that is not over yet."""
        return f"{self.line} (about {self.expected_seconds} s)" if self.expected_seconds else self.line

    @property
    def line(self) -> str:
        """The step's text with its latest note."""
        return f"{self.text}: {self.note}" if self.note else self.text


@contextmanager
def step(text: str, expected_seconds: int | None = None) -> Iterator[Step]:
    """Show the block as one step, `text` in the imperative ("Build headscale …").

    A step that is known to be long says so when it starts, with `expected_seconds`. The line ends in
    the seconds that the block took, behind ✓ or, when it raised, ✗; the exception goes on to the caller.
    """
    current = Step(text, expected_seconds)
    started = time.monotonic()
    try:
        with _on_terminal(current) if console.is_terminal else _in_log(current):
            yield current
    except BaseException:
        _end(current, "[red]✗[/red]", started)
        raise
    _end(current, "[green]✓[/green]", started)


@contextmanager
def _on_terminal(current: Step) -> Iterator[None]:
    """Keep the line alive."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        current._live = (progress, progress.add_task(current.running, total=None))
        yield


@contextmanager
def _in_log(current: Step) -> Iterator[None]:
    """Write a line about the step now and then; about one that is known to be long, at once too."""
    over = threading.Event()

    def write() -> None:
        console.print(f"• {current.running} …", markup=False)

    def keep_writing() -> None:
        pause = FIRST_WORD
        while not over.wait(pause):
            write()
            pause = NEXT_WORD

    if current.expected_seconds:
        write()
    writer = threading.Thread(target=keep_writing, daemon=True)
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()


def _end(current: Step, mark: str, started: float) -> None:
    """Write the finished line."""
    line = Text.from_markup(f"{mark} ").append(f"{current.line}  ")
    console.print(line.append(f"{time.monotonic() - started:.1f} s", style="dim"))
