"""Every link of the documentation leads to a file and to a heading that are there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.docs.commands import PAGES, ROOT, prose

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchors(page: Path) -> set[str]:
    """The headings as GitHub addresses them."""
    return set(map(anchor, re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)))


def anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
    return kept.strip().replace(" ", "-")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Files and anchors that a page links to, outside of the web."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
        if not re.match(r"[a-z]+:", target):
            file, _, heading = target.partition("#")
            yield (page.parent / file).resolve() if file else page, heading


@pages
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for file, heading in links(page):
        assert file.exists(), file
        if heading:
            assert heading in anchors(file), f"{file.name}#{heading}"


@pages
def test_links_to_the_web_are_by_https(page: Path) -> None:
    assert not re.findall(r"\]\(http://[^)]*\)", prose(page.read_text()))


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, to_read = set[Path](), [ROOT / "README.md"]
    while to_read:
        page = to_read.pop()
        seen.add(page)
        to_read += [file for file, _ in links(page) if file.suffix == ".md" and file not in seen]
    assert set(PAGES) <= seen


def test_anchors_are_github_s() -> None:
    assert anchor("Two in one cluster") == "two-in-one-cluster"
    assert anchor("`headscale.ingress`") == "headscaleingress"
    assert anchor("Why clients get the key of wg0") == "why-clients-get-the-key-of-wg0"
    assert anchor("The lab: ten minutes of yours") == "the-lab-ten-minutes-of-yours"
