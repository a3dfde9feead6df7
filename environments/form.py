"""How a question is asked, and when its answer is kept."""

from collections.abc import Callable
from typing import Any, Protocol

from environments.answers import AnswerError, Place, Values, refuse_given, with_value

NONE = "none"
"""The answer that leaves out something that has a default."""


class Terminal(Protocol):
    """Where questions are asked."""

    def ask(self, question: str, default: str, *, hidden: bool = False) -> str:
        """The answer, the default when it is empty; what is `hidden` is not echoed."""

    def tell(self, sentence: str) -> None:
        """Say something that is no question."""


class Form:
    """Answers so far. One is kept when the settings' rules and its own check take it."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.values: Values = {}

    def ask(
        self,
        question: str,
        place: Place,
        *,
        default: str = "",
        parse: Callable[[str], object] = str,
        check: Callable[[Any], object] = lambda _: None,
        hidden: bool = False,
    ) -> None:
        """Ask until the answer can be kept."""
        while True:
            answer = self._terminal.ask(question, default, hidden=hidden)
            try:
                self.keep(place, _parsed(answer, parse), check)
            except AnswerError as wrong:
                self._terminal.tell(str(wrong))
            else:
                return

    def put(self, place: Place, value: object) -> None:
        """Set what needs no check."""
        self.values = with_value(self.values, place, value)

    def keep(self, place: Place, value: object, check: Callable[[Any], object]) -> None:
        """Take a value as an answer; AnswerError, and nothing is kept, where a rule or the check refuses it."""
        before = self.values
        self.values = with_value(before, place, value)
        try:
            refuse_given(self.values)
            check(value)
        except AnswerError:
            self.values = before
            raise

    def yes(self, question: str, default: str) -> bool:
        """Ask until the answer is yes or no."""
        while (answer := self._terminal.ask(f"{question} (yes, no)", default).lower()) not in {"yes", "y", "no", "n"}:
            self._terminal.tell("Answer yes or no.")
        return answer.startswith("y")


def _parsed(answer: str, parse: Callable[[str], object]) -> object:
    if not answer:
        raise AnswerError("An answer is needed here.")
    return None if answer == NONE else parse(answer)
