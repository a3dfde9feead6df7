#!/usr/bin/env python3
"""Put previews before people: one comment on a pull request, or one issue as long as there is drift.

    publish.py comment     on pull request $PULL_REQUEST, whose head is $COMMIT
    publish.py drift

Reads reports/preview-NAME.md of each of $ENVIRONMENTS (JSON). Both texts are found again by a marker that a reader
does not see. Talks to GitHub by `gh`, in $GITHUB_REPOSITORY.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from review import fitting

REPORTS = Path("reports")
ISSUE_MARKER = "<!-- meshgate-drift -->"
NOTE = "What … stands for would be too long here: the run's summary has it."

Json = Any


@dataclass(frozen=True)
class Report:
    """What `make preview FORMAT=markdown` says of one environment: its verdict in a word, and its section."""

    verdict: str
    section: str


def comment(number: str) -> None:
    """Write the previews into the pull request's one comment, made the first time."""
    reports = read()
    top = fitting.top({name: report.verdict for name, report in reports.items()})
    sections = [report.section for report in reports.values()]
    body = fitting.fitted(top, sections, NOTE, f"Of {os.environ['COMMIT'][:10]}, by {run()}.")
    comments = f"repos/{repository()}/issues/{number}/comments"
    ours = [one["id"] for one in pages(comments) if is_ours(one, fitting.MARKER)]
    if ours:
        call("PATCH", f"repos/{repository()}/issues/comments/{ours[0]}", body=body)
    else:
        call("POST", comments, body=body)


def drift() -> None:
    """Open or update the one issue about drift; close it when there is none left."""
    different = {name: report for name, report in read().items() if report.verdict != "unchanged"}
    issues = f"repos/{repository()}/issues"
    ours = [one["number"] for one in pages(f"{issues}?state=open") if is_ours(one, ISSUE_MARKER)]
    if different:
        title = f"Not as the repository says: {', '.join(different)}"
        top = f"{ISSUE_MARKER}\nWhat runs is not what the repository says, or could not be looked at."
        sections = [report.section for report in different.values()]
        body = fitting.fitted(top, sections, NOTE, f"Seen by {run()}.")
        call(*(("PATCH", f"{issues}/{ours[0]}") if ours else ("POST", issues)), title=title, body=body)
    for number in () if different else ours:
        call("POST", f"{issues}/{number}/comments", body=f"All is as the repository says: {run()}.")
        call("PATCH", f"{issues}/{number}", state="closed", state_reason="completed")


def read() -> dict[str, Report]:
    """The report of each environment."""
    names: list[str] = json.loads(os.environ["ENVIRONMENTS"])
    return {name: _report(name, REPORTS / f"preview-{name}.md") for name in names}


def _report(name: str, file: Path) -> Report:
    text = file.read_text() if file.exists() else ""
    verdict = re.search(rf"^<!-- verdicts: {re.escape(name)}=(\S+) -->$", text, re.MULTILINE)
    section = text.find("\n### ")
    if verdict is None or section < 0:
        return Report("failed", f"### `{name}`: no preview\n\nIts job ended before. The log of the run says why.")
    return Report(verdict[1], text[section:].strip())


def is_ours(one: Json, marker: str) -> bool:
    """Whether a comment or issue is this program's: by its marker, and by a bot, as anybody can write the marker."""
    return str(one.get("body") or "").startswith(marker) and one["user"]["type"] == "Bot"


def pages(path: str) -> list[Json]:
    """Every item of a list."""
    joint = "&" if "?" in path else "?"
    answer = gh("--paginate", "--slurp", f"{path}{joint}per_page=100")
    return [item for page in json.loads(answer) for item in page]


def call(method: str, path: str, **fields: str) -> None:
    """Change something."""
    gh("--method", method, path, "--input", "-", stdin=json.dumps(fields))


def gh(*arguments: str, stdin: str | None = None) -> str:
    """Ask GitHub's API; what it says to an error goes to the log."""
    done = subprocess.run(["gh", "api", *arguments], input=stdin, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"gh api {' '.join(arguments)} ended with status {done.returncode}.")
    return done.stdout


def repository() -> str:
    """As owner/name."""
    return os.environ["GITHUB_REPOSITORY"]


def run() -> str:
    """A link to the run."""
    url = f"{os.environ['GITHUB_SERVER_URL']}/{repository()}/actions/runs/{os.environ['GITHUB_RUN_ID']}"
    return f"[this run]({url})"


if __name__ == "__main__":
    if sys.argv[1:] == ["comment"]:
        comment(os.environ["PULL_REQUEST"])
    elif sys.argv[1:] == ["drift"]:
        drift()
    else:
        sys.exit(__doc__)
