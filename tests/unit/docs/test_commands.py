"""Every command of the documentation is run by a test, or says why not: commands.yaml has the list."""

from pathlib import Path

import pytest
import yaml

from tests.unit.docs.commands import PAGES, ROOT, commands

LISTED = yaml.safe_load(Path(__file__).with_name("commands.yaml").read_text())
RUN = [command for some in LISTED["run"].values() for command in some]
NOT_RUN = [command for some in LISTED["not_run"].values() for command in some]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_run_or_says_why_not(page: Path) -> None:
    assert set(commands(page.read_text())) <= {*RUN, *NOT_RUN}


def test_the_list_names_no_command_twice_and_none_that_is_gone() -> None:
    listed = [*RUN, *NOT_RUN]
    assert len(listed) == len(set(listed))
    assert set(listed) == {command for page in PAGES for command in commands(page.read_text())}


def test_the_tests_that_run_them_are_there() -> None:
    assert [file for file in LISTED["run"] if not (ROOT / file).is_file()] == []


def test_reasons_are_sentences() -> None:
    assert all(reason.endswith(".") and " " in reason for reason in LISTED["not_run"])


def test_commands_are_what_a_reader_would_run() -> None:
    page = (
        "Text\n\n    make up    # a comment\n    make \\\n      down\n\n    with lab:\n        run()\n\n"
        "1. A step\n\n   ```console\n   make status\n   ```\n\n````markdown\n```console\nno command\n```\n````\n"
    )
    assert list(commands(page)) == ["make status", "make up", "make down"]
