"""A review for a terminal."""

from collections.abc import Iterator, Sequence

from review import wording
from review.values import printable
from review.verdict import Report


def text(reports: Sequence[Report]) -> str:
    """The same sentences as in the comment."""
    return "\n".join(line for report in reports for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.environment}: {wording.verdict(report, printable)}"
    yield from (f"  {line}" for error in report.errors for line in error.splitlines())
    yield from (f"  ! {line}" for line in wording.dangers(report, printable))
    yield from (f"  warning: {line}" for warning in report.warnings for line in warning.splitlines())
    if report.changes or not report.failed:
        yield f"  {wording.counts(report)}"
    for change in report.changes:
        yield f"\n  {wording.title(change, printable)}"
        yield from (f"    {line}" for line in wording.fields(change.fields))
    if report.outputs:
        yield "\n  the stack's outputs"
        yield from (f"    {line}" for line in wording.fields(report.outputs))
    yield ""
