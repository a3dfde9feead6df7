"""What can go wrong, in a form that a person can act on."""

from pathlib import Path

TAIL_LINES = 20
"""How many of a log's last lines an error shows."""


class StepError(Exception):
    """A step failed.

    `sentence` says in one sentence what is wrong and what would be right. `log` is the file that holds
    the details: its last lines belong to the error's text.
    """

    def __init__(self, sentence: str, log: Path | None = None) -> None:
        """Keep the sentence, and the log's tail as it is now."""
        self.sentence = sentence
        self.log = log
        self.tail = tail(log) if log else ""
        super().__init__(sentence)

    def __str__(self) -> str:
        """Return the sentence, then the log's last lines, indented, and where the rest is."""
        if not self.tail:
            return self.sentence
        lines = "\n".join(f"    {line}" for line in self.tail.splitlines())
        return f"{self.sentence}\n{lines}\n    (all of it: {self.log})"


class DeadlineError(StepError):
    """A program was not done in time, and was ended."""


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a text file; empty when there is no such file."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
