"""docs/access.md decides by what was shown: each row of its comparison names a test or a figure."""

import re

from tests.unit.docs.commands import ROOT

PAGE = (ROOT / "docs" / "access.md").read_text()


def test_every_row_of_the_comparison_is_full_and_says_what_shows_it() -> None:
    table = PAGE.partition("\n## Side by side\n")[2].partition("\n\nNo phone")[0]
    _, _, *rows = re.findall(r"^\|(.*)\|$", table, re.MULTILINE)
    assert len(rows) > 10
    for row in rows:
        *cells, shown_by = (cell.strip() for cell in row.split("|"))
        assert len(cells) == 5, row
        assert all(cells), row
        assert re.search(r"\]\((\.\./tests/|figures\.md#)", shown_by), row
