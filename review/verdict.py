"""The verdict on one environment: no changes, changes, DANGER, FAILED or UNREACHABLE; and what it rests upon."""

from dataclasses import dataclass
from enum import StrEnum

from review import changes as changed
from review import diagnosis
from review.changes import Change, Field
from review.events import Preview

_SILENT = "Pulumi ended before it came to a summary, and did not say why."


class Verdict(StrEnum):
    """The outcome in one word.

    DANGER: something is replaced or deleted, or clients' configs become useless. FAILED: something is wrong.
    UNREACHABLE: a system could not be asked.
    """

    UNCHANGED = "unchanged"
    CHANGES = "changes"
    DANGER = "danger"
    FAILED = "failed"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Report:
    """The review of one environment. A preview that failed tells no changes, since it knows only some of them. One that
    only breaks rules tells all."""

    environment: str
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    outputs: tuple[Field, ...] = ()
    unchanged: int = 0
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    """What makes clients' configs useless, a sentence each."""

    @property
    def dangers(self) -> tuple[Change, ...]:
        """The changes that replace or delete something."""
        return tuple(change for change in self.changes if change.op in ("replace", "delete"))

    @property
    def failed(self) -> bool:
        """Whether there is no answer."""
        return self.verdict in (Verdict.FAILED, Verdict.UNREACHABLE)


def report(environment: str, preview: Preview, *, ended_well: bool) -> Report:
    """The report of a preview; `ended_well` is what its exit status says."""
    warnings, broken = diagnosis.sentences(preview.warnings), diagnosis.sentences(preview.broken)
    errors = diagnosis.sentences(preview.errors)
    if errors or not preview.whole or not (ended_well or broken):
        errors = errors or diagnosis.last_words(preview.said) or (_SILENT,)
        verdict = Verdict.UNREACHABLE if diagnosis.out_of_reach(errors) else Verdict.FAILED
        return Report(environment, verdict, errors=errors + broken, warnings=warnings)
    made, outputs, losses = changed.changes(preview), changed.outputs(preview), changed.losses(preview)
    verdict = Verdict.FAILED if broken else _verdict(made, outputs, losses)
    others = tuple(warning for warning in warnings if warning not in losses)
    return Report(environment, verdict, made, outputs, changed.unchanged(preview), broken, others, losses)


def _verdict(made: tuple[Change, ...], outputs: tuple[Field, ...], losses: tuple[str, ...]) -> Verdict:
    if losses or any(change.op in ("replace", "delete") for change in made):
        return Verdict.DANGER
    return Verdict.CHANGES if made or outputs else Verdict.UNCHANGED
