"""The comment as a whole: what is not ours does nothing in it, and it is never too long."""

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from markdown_it import MarkdownIt

from review import fitting, markdown
from review.changes import Change, Field, Op
from review.fitting import MARKER
from review.report import Report, Verdict

GITHUB_TAKES = 65_536
HOSTILE = "</details><b>x</b> @everyone #1 `` ``` ~~~ | **b** [a](https://example.com) --> \n\n# h\r\n\u202e\x00"
CHANGE = Change(op="update", type="m:WireGuardKey", kind="WireGuardKey", name="one-key")


def change(op: Op = "update", lines: int = 1, value: object = "v", name: str = "one-key") -> Change:
    fields = tuple(Field(f"field-{number}", value, [value]) for number in range(lines))
    return dataclasses.replace(CHANGE, op=op, name=name, fields=fields, reasons=fields)


def skeleton(comment: str) -> list[tuple[str, str]]:
    """All that Markdown makes of a comment, without what is in code spans and code blocks."""
    tokens = MarkdownIt("commonmark").parse(comment.replace(HOSTILE, "x"))
    every = [inner for token in tokens for inner in (token, *(token.children or []))]
    return [(one.type, one.content if one.type in ("html_block", "html_inline", "text") else "") for one in every]


def comment_with(other: str) -> str:
    reason = Field(other, other, {"key": other})
    one = dataclasses.replace(change("replace"), kind=f"Kind{other}", name=f"one{other}", reasons=(reason,))
    two = dataclasses.replace(CHANGE, fields=(Field(f"path{other}", [other], other, by_hand=True),))
    outputs = (Field("output", other, [other]),)
    danger = Report("prod", Verdict.DANGER, (one, two), outputs, 3, warnings=(other,))
    return markdown.comment([danger, Report(f"a{other}", Verdict.FAILED, errors=(other,))])


@given(some.text())
@example(HOSTILE)
@example("`")
@example("")
def test_the_words_of_others_are_code_and_change_nothing_around_them(other: str) -> None:
    verdicts, rest = comment_with(other).split("\n## ", 1)
    assert skeleton(rest) == skeleton(comment_with("x").split("\n## ", 1)[1])
    assert verdicts.splitlines()[0] == MARKER
    assert verdicts.count("-->") == verdicts.count("<!--") == len(verdicts.splitlines()) == 2


def test_keys_in_names_and_values_are_hidden() -> None:
    _, told = comment_with("hskey-auth-abcdef-0123456789abcdef").split("\n## ", 1)
    assert "0123456789abcdef" not in told.partition("Warnings:")[0]


def test_a_workflow_can_read_the_verdicts() -> None:
    reports = [Report("dev", Verdict.UNCHANGED), Report("acme/meshgate/prod", Verdict.UNREACHABLE, errors=("away",))]
    marker, verdicts = markdown.comment(reports).splitlines()[:2]
    assert marker == MARKER
    assert verdicts == "<!-- verdicts: dev=unchanged acme/meshgate/prod=unreachable -->"


@pytest.mark.parametrize(
    ("environments", "changes", "value"),
    [(1, 1000, "v"), (1, 100, "`" * 500), (3, 50, "long " * 100), (40, 20, "v"), (40, 1, "`" * 500), (2000, 1, "v")],
)
def test_it_is_never_longer_than_github_takes_and_keeps_the_verdicts(
    environments: int, changes: int, value: str
) -> None:
    dangers = tuple(change("replace", 50, value, f"key-{number}") for number in range(changes))
    warnings = ("w" * 800,) * 10
    reports = [Report(f"env-{number}", Verdict.DANGER, dangers, warnings=warnings) for number in range(environments)]
    comment = markdown.comment(reports)
    assert len(comment) < GITHUB_TAKES
    for report in reports[:500]:
        assert f"### `{report.environment}`: DANGER: replaces `WireGuardKey` `key-0`" in comment
    assert "left out: the comment would be too long" in comment
    assert ("more environments" in comment) == (environments == 2000)
    assert comment.count("<details>") == comment.count("</details>")


def test_a_small_environment_is_whole_beside_a_large_one() -> None:
    large = Report("large", Verdict.CHANGES, tuple(change(lines=40, value="x" * 300) for _ in range(100)))
    small = Report("small", Verdict.CHANGES, (change(name="the-small-one"),))
    comment = markdown.comment([large, small])
    assert len(comment) > 0.7 * fitting.LIMIT
    assert "**updates** `WireGuardKey` `the-small-one`\n```diff\n- field-0:" in comment
