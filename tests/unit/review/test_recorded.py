"""What a recorded preview becomes as a comment; recorded/README.md says what was done before each."""

from pathlib import Path

import pytest

from review import events, markdown
from review.verdict import Verdict, report

RECORDED = Path(__file__).parent / "recorded"
FAILED = {"refused", "headscale-away", "cluster-away"}


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.jsonl")), ids=lambda file: file.stem)
def test_the_comment(file: Path) -> None:
    preview = events.read(file.read_text())
    comment = markdown.comment([report("prod", preview, ended_well=file.stem not in FAILED)])
    assert comment == file.with_suffix(".md").read_text()


def test_what_could_not_be_reached_is_told_apart_from_what_is_wrong() -> None:
    verdicts = {
        name: report("prod", events.read((RECORDED / f"{name}.jsonl").read_text()), ended_well=False).verdict
        for name in FAILED
    }
    assert verdicts == {
        "refused": Verdict.FAILED,
        "headscale-away": Verdict.UNREACHABLE,
        "cluster-away": Verdict.UNREACHABLE,
    }


def test_the_documentation_shows_a_comment_as_it_is() -> None:
    page = (RECORDED.parents[3] / "docs" / "pull-requests.md").read_text()
    assert (RECORDED / "rotated.md").read_text() in page
