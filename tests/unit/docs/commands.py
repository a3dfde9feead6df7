"""The commands of the documentation: what stands in its blocks for a reader to run."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>\w*)\n(?P<content>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_INDENTED = re.compile(r"(?:^\n)((?:^    .*\n)+)", re.MULTILINE)
_SHELL = {"console", "bash", "sh"}
_PYTHON = re.compile(r"(with|from|import|def|for) ")
"""How an indented block begins that is Python's."""


def prose(text: str) -> str:
    """A page without its fenced blocks: no link, heading or indented block is in them."""
    return _FENCE.sub("", text)


def commands(text: str) -> Iterator[str]:
    """Every command, in the page's order per kind of block; continued lines as one, without comments."""
    blocks = [match["content"] for match in _FENCE.finditer(text) if match["language"] in _SHELL]
    blocks += [block for block in _INDENTED.findall(prose(text)) if not _PYTHON.match(block.strip())]
    for block in blocks:
        for line in block.replace("\\\n", " ").splitlines():
            if command := " ".join(re.sub(r"\s#\s.*", "", line).split()):
                yield command


def console(page: str, heading: str) -> list[str]:
    """The commands of one section of a page, without those of the sections below it."""
    text = (ROOT / page).read_text()
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, f"{page} has no section {heading!r}"
    return list(commands(section[1]))


def bash(script: str, directory: Path, environment: Mapping[str, str], stdin: str = "") -> str:
    """What commands of the documentation print when a reader runs them in a directory; all must succeed."""
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=directory,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
