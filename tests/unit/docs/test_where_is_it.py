"""The table "Where is it" of docs/architecture.md leads into every room; files that are named anywhere are there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.docs.commands import PAGES, ROOT

HOUSE = ("console", "environments", "gateway", "infra", "lab", "pipeline", "playbooks", "policy", "review", "verify")
"""The top-level packages."""
SUFFIXES = (".py", ".yml", ".md", ".yaml", ".conf")
NAMED = re.compile(rf"(?<![\w./~-])(?:{'|'.join(HOUSE)}|docs|examples|tests)/[\w/.-]*\w(?:{'|'.join(SUFFIXES)})\b")
"""A file that a text names by its path."""


def linked() -> list[Path]:
    """What the table links to."""
    page = ROOT / "docs" / "architecture.md"
    table = page.read_text().partition("\n## Where is it\n")[2].partition("\n## ")[0]
    return [(page.parent / target).resolve() for target in re.findall(r"\]\(([^)#]+)\)", table)]


def rooms() -> Iterator[Path]:
    """Every package, and what playbooks/ has instead of packages."""
    for package in HOUSE:
        yield from (file.parent for file in (ROOT / package).rglob("__init__.py"))
    yield from (file.parent for file in (ROOT / "playbooks").glob("*/*") if file.suffix in SUFFIXES)
    yield from (ROOT / "playbooks" / "roles").iterdir()


def named(file: Path) -> list[str]:
    return NAMED.findall(file.read_text())


def test_every_path_of_the_table_is_there() -> None:
    assert len(linked()) > len(HOUSE)
    assert [path for path in linked() if not path.exists()] == []


@pytest.mark.parametrize("room", sorted(set(rooms())), ids=lambda room: str(room.relative_to(ROOT)))
def test_every_room_is_in_the_table(room: Path) -> None:
    assert any(room in (path, path.parent) for path in linked())


@pytest.mark.parametrize("package", HOUSE)
def test_files_that_a_docstring_or_comment_names_are_there(package: str) -> None:
    sources = [file for file in (ROOT / package).rglob("*") if file.suffix in SUFFIXES]
    assert sources
    assert [(file.name, path) for file in sources for path in named(file) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    assert [path for path in named(page) if not (ROOT / path).exists()] == []


def test_a_named_file_is_found_in_a_text() -> None:
    text = "As (tests/contract/test_x.py) has it, `docs/lab.md`; not /srv/infra/a.py, nor lab/go."
    assert NAMED.findall(text) == ["tests/contract/test_x.py", "docs/lab.md"]
