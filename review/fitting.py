"""The comment's outer form and greatest length, for the review and for the workflow's step that joins several jobs'.

That step has no packages, so this module imports the standard library alone.
"""

from collections.abc import Mapping, Sequence

MARKER = "<!-- meshgate-review -->"
"""The comment's first line. A workflow finds by it the comment to update."""

LIMIT = 65_000
"""Characters; GitHub takes 65,536, of which a workflow may want some."""

DETAILS = "<details>"
"""This line begins what a section can lose."""

_SPARE = 100
"""Characters for the count of the environments that are left out."""


def top(verdicts: Mapping[str, str]) -> str:
    """How the comment begins: its marker, the verdicts for programs, its title."""
    told = " ".join(f"{name}={verdict}" for name, verdict in verdicts.items())
    return f"{MARKER}\n<!-- verdicts: {told} -->\n## What `pulumi up` would do"


def fitted(top: str, sections: Sequence[str], note: str, end: str = "") -> str:
    """Join the sections into one text that GitHub takes. `…` stands for what a section lost; `note` says where that is.

    The longest lose their details first, then all but their first line; the last sections go when that is not enough.
    """
    kept = [section.strip() for section in sections]
    for mark in (f"\n{DETAILS}\n", "\n"):
        for index in sorted(range(len(kept)), key=lambda one: -len(kept[one])):
            if _length(top, kept, note, end) > LIMIT:
                kept[index] = f"{kept[index].partition(mark)[0].rstrip()}\n\n…"
    left_out = 0
    while _length(top, kept, note, end) > LIMIT:
        kept.pop()
        left_out += 1
    more = f"{left_out} more environments." if left_out else ""
    shortened = kept != [section.strip() for section in sections]
    return "\n\n".join(filter(None, (top.strip(), *kept, more, note if shortened else "", end)))


def _length(*parts: str | Sequence[str]) -> int:
    texts = [text for part in parts for text in ([part] if isinstance(part, str) else part)]
    return sum(map(len, texts)) + 2 * len(texts) + _SPARE
