"""A review as the comment on a pull request: GitHub's Markdown, never too long to be posted.

Names and values of others stand in code spans and code blocks alone. There neither Markdown nor HTML nor @mentions mean
anything.
"""

import re
from collections.abc import Iterable, Sequence

from review import fitting, wording
from review.fitting import DETAILS, LIMIT, fitted
from review.values import printable
from review.verdict import Report

_DETAILS = f"{DETAILS}\n<summary>Every change, field by field</summary>\n"
_DETAILS_END = "</details>"
_NOT_IN_NAMES = re.compile(r"[^\w./-]")
_LEFT_OUT = "left out: the comment would be too long. `make preview STACK=…` prints all."
_SPARE = 400
"""Characters of a section's own lines around its details."""


def comment(reports: Sequence[Report]) -> str:
    """The comment. One that is too long loses details first, then all but the verdicts."""
    top = f"{fitting.top({_NOT_IN_NAMES.sub('?', one.environment): one.verdict for one in reports})}\n"
    heads = [_head(report) for report in reports]
    room = LIMIT - len(top) - sum(map(len, heads)) - len(reports) * _SPARE
    entries = [_entries(report) for report in reports]
    details = [_details(one, LIMIT) for one in entries] if room < 0 else _shared(entries, room)
    sections = [f"{head}{body}" for head, body in zip(heads, details, strict=True)]
    if room < 0:
        return f"{fitted(top, sections, f'What … stands for is {_LEFT_OUT}')}\n"
    return "\n".join((top, *sections))


def code(text: str) -> str:
    """A code span that holds any text."""
    text = printable(text)
    fence = "`" * (_longest_run(text) + 1)
    pad = " " if not text or text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text or ' '}{pad}{fence}"


def block(language: str, lines: Iterable[str]) -> str:
    """A code block that holds any lines."""
    text = re.sub(rf"^{DETAILS}", f" {DETAILS}", "\n".join(lines), flags=re.MULTILINE)  # where `fitted` cuts
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}\n"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _heading(report: Report) -> str:
    return f"### {code(report.environment)}: {wording.verdict(report, code)}\n"


def _head(report: Report) -> str:
    """All that must be read of an environment."""
    parts = [_heading(report)]
    if report.errors:
        parts.append(block("text", report.errors))
    if dangers := [f"> - {line}" for line in wording.dangers(report, code, "**")]:
        parts.append("\n".join(("> [!CAUTION]", *dangers, "")))
    if report.warnings:
        parts += ["Warnings:\n", block("text", report.warnings)]
    if report.changes or not report.failed:
        parts.append(f"{wording.counts(report)}\n")
    return "\n".join(parts)


def _entries(report: Report) -> list[str]:
    """Every change, and last the outputs."""
    entries = [_entry(wording.title(change, code, "**"), wording.fields(change.fields)) for change in report.changes]
    if report.outputs:
        entries.append(_entry("the stack's **outputs**", wording.fields(report.outputs)))
    return entries


def _entry(title: str, lines: Iterable[str]) -> str:
    fields = list(lines)
    return f"{title}\n{block('diff', fields)}" if fields else f"{title}\n"


def _shared(entries: Sequence[Sequence[str]], room: int) -> list[str]:
    """The details of each environment, as many entries as fit. What one environment leaves goes to the next."""
    fitted = [""] * len(entries)
    by_size = sorted(range(len(entries)), key=lambda index: sum(map(len, entries[index])))
    for done, index in enumerate(by_size):
        fitted[index] = _details(entries[index], room // (len(entries) - done))
        room -= len(fitted[index])
    return fitted


def _details(entries: Sequence[str], room: int) -> str:
    shown: list[str] = []
    for entry in entries:
        if (room := room - len(entry) - 1) < 0:
            break
        shown.append(entry)
    left_out = len(entries) - len(shown)
    note = f"{left_out} of {len(entries)} are {_LEFT_OUT}\n"
    if not shown:
        return f"\n{note}" if left_out else ""
    return "\n".join(("", _DETAILS, *shown, *([note] if left_out else []), _DETAILS_END, ""))
